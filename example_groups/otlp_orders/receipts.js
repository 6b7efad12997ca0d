// Files the receipts of mails.
const express = require("express");

const app = express();
const filed = new Set();

app.get("/health", (_, response) => response.send("ok"));
app.post("/receipts/:id", (request, response) => {
  filed.add(request.params.id);
  response.json({ filed: filed.size });
});
const server = app.listen(Number(process.env.PORT), "127.0.0.1");
process.on("SIGTERM", () => server.close()); // the last spans are sent, and then it ends
