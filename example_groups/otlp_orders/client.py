"""Orders twenty times, with nothing but Python."""

import json
import os
import urllib.request

for number in range(20):
    order = json.dumps({"id": f"o-{number}"}).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(os.environ["SHOP_URL"] + "/orders", order, headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200
