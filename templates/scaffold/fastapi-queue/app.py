"""The service: a FastAPI application that puts each posted job into a Redis list."""

import json
import os

import redis
import testrium
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()
queue = redis.Redis(port=int(os.environ["TESTRIUM_PORT_REDIS_TCP"]))
# Outside of a run probes do nothing: they may stay in production code.
me = testrium.unit()


class Job(BaseModel):
    """What a client posts; its id is the key, because it goes along with the job everywhere."""

    id: str
    task: str


@app.get("/health")
def health() -> dict[str, str]:
    return {}


@app.post("/jobs")
def accept(job: Job) -> dict[str, str]:
    # The probe comes before the effect: the worker may be faster than the next line of this one.
    me.receive("accepted", key=job.id, task=job.task)
    queue.lpush("jobs", json.dumps({"id": job.id, "task": job.task}))
    return {"id": job.id}


def main() -> None:
    uvicorn.run(app, port=int(os.environ["TESTRIUM_PORT_HTTP"]))
