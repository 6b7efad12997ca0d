const express = require("express");

const app = express();
const orders = new Map();
app.use(express.json());

app.post("/orders", (request, response) => {
  orders.set(request.body.id, request.body);
  response.status(201).json({ id: request.body.id });
});

app.get("/orders/:id", (request, response) => {
  const order = orders.get(request.params.id);
  if (order === undefined) response.status(404).end();
  else response.json(order);
});

app.listen(Number(process.env.PORT), "127.0.0.1");
