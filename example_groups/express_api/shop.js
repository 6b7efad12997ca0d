// Sends orders, and asks for each of them.
const http = require("http");

function ask(method, path, headers, body) {
  return new Promise((resolve, reject) => {
    const request = http.request(process.env.API + path, { method, headers }, (response) => {
      response.resume();
      response.on("end", () => resolve(response.statusCode));
    });
    request.on("error", reject);
    request.end(body);
  });
}

(async () => {
  for (let number = 1; number <= 10; number++) {
    const id = `o-${number}`;
    const body = JSON.stringify({ id, item: "bolt" });
    await ask("POST", "/orders", { "content-type": "application/json" }, body);
    await ask("GET", `/orders/${id}`, { "x-order": id });
  }
})();
