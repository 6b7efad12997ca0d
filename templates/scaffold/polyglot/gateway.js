// Node: passes every line on to the ledger, and the ledger's answers back.
// A probe is one line of JSON, appended to a file: no library needed.
"use strict";
const fs = require("node:fs");
const net = require("node:net");
const readline = require("node:readline");

const { TESTRIUM_PROBES, TESTRIUM_PORT_TCP, TESTRIUM_PORT_LEDGER_TCP } = process.env;

function probe(step, fields = {}) {
  // hrtime is CLOCK_MONOTONIC: with it, latencies are exact. It does not fit a JSON number of
  // JavaScript, hence the text.
  const rest = JSON.stringify({ step, pid: process.pid, ...fields }).slice(1);
  fs.appendFileSync(TESTRIUM_PROBES, `{"t_ns": ${process.hrtime.bigint()}, ${rest}\n`);
}

const server = net.createServer((teller) => {
  const ledger = net.connect(Number(TESTRIUM_PORT_LEDGER_TCP), "127.0.0.1");
  readline.createInterface({ input: teller }).on("line", (key) => {
    probe("forwarded", { type: "Send", key });
    ledger.write(`${key}\n`);
  });
  ledger.pipe(teller);
  teller.on("end", () => ledger.end());
});

server.listen(Number(TESTRIUM_PORT_TCP), "127.0.0.1", () => probe("listening"));
