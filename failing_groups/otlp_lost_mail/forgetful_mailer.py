"""The mailer of example_groups/otlp_orders, from whose queue one mail vanishes without a word."""

import json

import mailer
import redis


class ForgetfulQueue(redis.Redis):
    def blpop(self, *args, **kwargs):
        found = super().blpop(*args, **kwargs)
        if found is not None and json.loads(found[1])["order"].endswith("13"):
            return None
        return found


redis.Redis = ForgetfulQueue
mailer.main()
