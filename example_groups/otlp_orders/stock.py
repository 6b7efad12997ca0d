"""Reserves goods."""

from fastapi import FastAPI
from opentelemetry import trace

app = FastAPI()
reserved = set()


@app.get("/health")
def health() -> str:
    return "ok"


@app.post("/reservations")
def reserve(reservation: dict) -> dict:
    trace.get_current_span().set_attribute("order.id", reservation["order"])
    reserved.add(reservation["order"])
    return {"reserved": len(reserved)}
