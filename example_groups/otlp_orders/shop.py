"""Takes orders: reserves the goods, and queues a mail."""

import json
import os

import httpx
import redis.asyncio as redis
from fastapi import FastAPI
from opentelemetry import propagate, trace

app = FastAPI()
queue = redis.Redis.from_url(os.environ["REDIS_URL"])


@app.get("/health")
async def health() -> str:
    return "ok"


@app.post("/orders")
async def order(order: dict) -> dict:
    trace.get_current_span().set_attribute("order.id", order["id"])
    async with httpx.AsyncClient(base_url=os.environ["STOCK_URL"]) as stock:
        (await stock.post("/reservations", json={"order": order["id"]})).raise_for_status()
    mail = {"order": order["id"], "context": {}}
    propagate.inject(mail["context"])
    await queue.rpush("mails", json.dumps(mail))
    return {"accepted": order["id"]}
