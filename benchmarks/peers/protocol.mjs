/**
 * The command line that every Node peer has, and the JSON lines that it prints.
 *
 * The commands and what they print are those of `protocol.py`. A peer is a folder with a
 * `package.json`, a `package-lock.json` and a `peer.mjs` that hands its peer to `main()`:
 *
 *     describe()                    what a reader must know, as an object
 *     install(database)             installs the schema with the peer's own installer
 *     deferrer(database, callers)   opens what defers for that many callers at once: an object with
 *                                   batch(kind, numbers), one(kind, number) and close()
 *     transactions(database, callers)
 *                                   opens what defers in transactions of the callers', each with one
 *                                   small insert of its own: an object with one(…) and close()
 *     work(order)                   starts one worker, ready when it listens; resolves to
 *                                   {stop, failed}; `failed` is a promise that rejects if it breaks
 *     unfinished(database)          opens a connection of its own: {look, close}; look() counts
 *     listening(database)           likewise, optional: what must not be 0 before it is "ready"
 *
 * An order has the database, the concurrency, the kind of job, and `run(number)`, which is the job.
 * Times are CLOCK_MONOTONIC in nanoseconds, as Python's `time.monotonic_ns()`.
 * This module uses Node alone, so that each peer brings its own packages.
 */

import { fork } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";

// How often the worker's end is looked for, once its last job has run.
const DRAINED_POLL_INTERVAL_MS = 2;
// How often a child process says how far it is.
const REPORT_INTERVAL_MS = 5;
const IO_MS = 1;
// As much computation as the Python peers' jobs do, on the machine that these were written on.
// A hash, as the time that Node takes for a loop changes eightfold while it optimises it.
const COMPUTED = Buffer.alloc(640_000, 7);
const CHILD = "BENCH_CHILD";

const OPTIONS = {
  database: { type: "string" },
  kind: { type: "string", default: "noop" },
  mode: { type: "string", default: "single" },
  times: { type: "string" },
  jobs: { type: "string", default: "0" },
  target: { type: "string", default: "0" },
  "batch-size": { type: "string", default: "1000" },
  concurrency: { type: "string", default: "1" },
  processes: { type: "string", default: "1" },
  seconds: { type: "string", default: "0" },
  rate: { type: "string", default: "0" },
  announce: { type: "boolean", default: false },
  "until-stopped": { type: "boolean", default: false },
};
// What a caller's own transaction does beside the defer.
export const OWN_TABLE = "create table if not exists callers_own (number bigint not null)";
export const OWN_INSERT = "insert into callers_own (number) values ($1)";

const NUMBERS = ["jobs", "target", "batch-size", "concurrency", "processes", "seconds", "rate"];

/** The error of a `fail_once` job's first run. */
export class FailedOnPurposeError extends Error {}

/** Counts each job's runs, and notes when each first began. */
export class Tally {
  constructor(jobs, announce = false) {
    this.runs = new Uint8Array(jobs);
    this.failed = new Uint8Array(jobs);
    this.times = new BigInt64Array(jobs);
    this.announce = announce;
    this.count = 0;
    this.failures = 0;
    this.onCount = () => {};
  }

  /** The job of a kind: a function of its number. */
  job(kind) {
    return {
      noop: (number) => this.#done(this.#began(number)),
      io: async (number) => {
        this.#began(number);
        await sleep(IO_MS);
        this.#done(number);
      },
      cpu: (number) => {
        this.#began(number);
        compute();
        this.#done(number);
      },
      fail_once: (number) => {
        this.#began(number);
        this.#failAtFirst(number);
        this.#done(number);
      },
    }[kind];
  }

  /** Take in what a child process has counted. */
  merge({ runs, failures, times }) {
    for (let number = 0; number < runs.length; number += 1) {
      this.runs[number] = Math.min(255, this.runs[number] + runs[number]);
      this.times[number] = earlier(this.times[number], times[number]);
    }
    this.failures += failures;
  }

  /** What a run is judged by. */
  summary() {
    const counts = (runs) => this.runs.reduce((sum, found) => sum + (found === runs), 0);
    return {
      first_ns: Number(this.times.reduce(earlier, 0n)),
      runs: this.runs.reduce((sum, found) => sum + found, 0),
      failures: this.failures,
      ran_once: counts(1),
      ran_never: counts(0),
    };
  }

  #began(number) {
    if (this.times[number] === 0n) {
      const now = process.hrtime.bigint();
      this.times[number] = now;
      if (this.announce) emit("ran", { number, at_ns: Number(now) });
    }
    return number;
  }

  #done(number) {
    this.runs[number] = Math.min(255, this.runs[number] + 1);
    this.count += 1;
    this.onCount(this.count);
  }

  #failAtFirst(number) {
    if (this.failed[number]) return;
    this.failed[number] = 1;
    this.failures += 1;
    throw new FailedOnPurposeError("failed on purpose");
  }
}

/** Run one command of `peer`. */
export async function main(peer) {
  const { command, options } = parsed(process.argv.slice(2));
  if (process.env[CHILD]) await workAsChild(peer, options);
  else await COMMANDS[command](peer, options);
  process.exit(0);
}

const COMMANDS = { describe, install, load, defer, defers, produce, work };

function parsed(argv) {
  const { values, positionals } = parseArgs({ args: argv, options: OPTIONS, allowPositionals: true });
  const [command] = positionals;
  if (!(command in COMMANDS)) throw new Error(`no such command: ${command}`);
  for (const name of NUMBERS) values[name] = Number(values[name]);
  return { command, options: values };
}

async function describe(peer) {
  emit("described", peer.describe());
}

async function install(peer, { database }) {
  await peer.install(database);
  emit("installed");
}

async function load(peer, { database, kind, jobs, "batch-size": size }) {
  const deferrer = await peer.deferrer(database, 1);
  const began = nanoseconds();
  for (const numbers of batches(jobs, size)) await deferrer.batch(kind, numbers);
  emit("loaded", { elapsed_ns: nanoseconds() - began });
  await deferrer.close();
}

async function defer(peer, { database, kind }) {
  const deferrer = await peer.deferrer(database, 1);
  for await (const line of createInterface({ input: process.stdin })) {
    const number = Number(line);
    const before_ns = nanoseconds();
    await deferrer.one(kind, number);
    emit("deferred", { number, before_ns, after_ns: nanoseconds() });
  }
  await deferrer.close();
}

async function defers(peer, { database, kind, jobs, mode, concurrency }) {
  const open = { single: "deferrer", transaction: "transactions" }[mode];
  const deferrer = await peer[open](database, concurrency);
  let next = 0;
  const caller = async () => {
    while (next < jobs) await deferrer.one(kind, next++);
  };
  const began = nanoseconds();
  await Promise.all(Array.from({ length: concurrency }, caller));
  emit("deferred_all", { elapsed_ns: nanoseconds() - began });
  await deferrer.close();
}

/** Defer batch after batch; with a rate, each batch waits for its turn. */
async function produce(peer, { database, kind, jobs, seconds, rate, times, "batch-size": size }) {
  const at = new BigInt64Array(jobs);
  const deferrer = await peer.deferrer(database, 1);
  const began_ns = nanoseconds();
  let produced = 0;
  for (const numbers of batches(jobs, size)) {
    if (rate) await turn(began_ns + (numbers[0] / rate) * 1e9);
    const now = process.hrtime.bigint();
    if (Number(now) - began_ns >= seconds * 1e9) break;
    at.fill(now, numbers[0], numbers[0] + numbers.length);
    await deferrer.batch(kind, numbers);
    produced += numbers.length;
  }
  const ended_ns = nanoseconds();
  write(times, at);
  emit("produced", { jobs: produced, began_ns, ended_ns });
  await deferrer.close();
}

async function turn(at) {
  const wait = (at - nanoseconds()) / 1e6;
  if (wait > 0) await sleep(wait);
}

/** Work until the target is reached and the database is empty, or until SIGTERM. */
async function work(peer, options) {
  const { database, jobs, target, announce, times, "until-stopped": untilStopped } = options;
  const stopped = untilStopped ? once(process, "SIGTERM") : null;
  const tally = new Tally(jobs, announce);
  const counter = await peer.unfinished(database);
  const crew = options.processes > 1 ? new Children(tally, options) : new Alone(peer, tally, options);
  const memory_before = await crew.memory();
  const began_ns = nanoseconds();
  const reached = new Promise((resolve) => {
    tally.onCount = (count) => count >= target && resolve();
  });
  await crew.start();
  if (untilStopped) {
    await listening(peer, database);
    emit("ready");
  }
  await Promise.race([stopped ?? reached, crew.failed]);
  if (!untilStopped && !announce && target === jobs) await drained(counter, crew.failed);
  const ended_ns = nanoseconds();
  const memory_after = await crew.memory();
  await crew.stop();
  await counter.close();
  if (times) write(times, tally.times);
  emit("worked", { began_ns, ...tally.summary(), ended_ns, memory_before, memory_after });
}

/** Asking is the only way to know: what counts is what the database says, not the worker. */
async function drained(counter, failed) {
  while (await Promise.race([counter.look(), failed])) await sleep(DRAINED_POLL_INTERVAL_MS);
}

/** Wait until the worker listens, for a peer that starts without waiting for that. */
async function listening(peer, database) {
  const counter = await peer.listening?.(database);
  while (counter && !(await counter.look())) await sleep(DRAINED_POLL_INTERVAL_MS);
  await counter?.close();
}

/** One worker in this process. */
class Alone {
  constructor(peer, tally, { database, kind, concurrency }) {
    this.peer = peer;
    this.order = { database, kind, concurrency, run: tally.job(kind) };
    this.failed = new Promise((_, reject) => (this.fail = reject));
    this.failed.catch(() => {});
  }

  async start() {
    this.worker = await this.peer.work(this.order);
    this.worker.failed?.catch(this.fail);
  }

  memory() {
    return residentSet();
  }

  stop() {
    return this.worker.stop();
  }
}

/** Workers in processes of their own, which tell this one how far they are. */
class Children {
  constructor(tally, options) {
    this.tally = tally;
    this.children = Array.from({ length: options.processes }, () => ({ count: 0 }));
    this.failed = new Promise((_, reject) => (this.fail = reject));
    this.failed.catch(() => {});
  }

  async start() {
    for (const child of this.children) this.#fork(child);
    await Promise.race([Promise.all(this.children.map((child) => child.ready)), this.failed]);
  }

  async memory() {
    const sizes = [residentSet(), ...(await Promise.all(this.children.map((child) => child.ask?.("memory"))))];
    const sum = (key) => sizes.reduce((total, size) => total + (size?.[key] ?? 0), 0);
    return { rss_kib: sum("rss_kib"), rss_peak_kib: sum("rss_peak_kib") };
  }

  async stop() {
    const counted = await Promise.all(this.children.map((child) => child.ask("stop")));
    for (const found of counted) this.tally.merge(found);
  }

  #fork(child) {
    const spawned = fork(process.argv[1], process.argv.slice(2), {
      env: { ...process.env, [CHILD]: "1" },
      serialization: "advanced",
      stdio: ["ignore", process.stderr, process.stderr, "ipc"],
    });
    const answers = {};
    const answer = (name) => new Promise((resolve) => (answers[name] = resolve));
    child.ready = answer("ready");
    child.ask = (name) => {
      spawned.send(name);
      return answer(name);
    };
    spawned.on("message", ({ name, value }) => {
      if (name !== "count") return answers[name](value);
      child.count = value;
      this.tally.onCount(this.children.reduce((sum, { count }) => sum + count, 0));
    });
    spawned.on("exit", (code) => this.fail(new Error(`a worker's process ended with ${code}`)));
  }
}

/** What a process does that `Children` has started. */
async function workAsChild(peer, options) {
  const say = (name, value) => new Promise((resolve) => process.send({ name, value }, resolve));
  process.on("SIGTERM", () => {}); // The parent says when to stop.
  process.on("disconnect", () => process.exit(1)); // A killed parent leaves no worker behind.
  const tally = new Tally(options.jobs, false);
  const crew = new Alone(peer, tally, options);
  const stop = new Promise((resolve) => {
    process.on("message", (asked) => (asked === "stop" ? resolve() : say(asked, residentSet())));
  });
  await crew.start();
  await say("ready");
  let said = 0;
  const reporter = setInterval(() => {
    if (tally.count !== said) say("count", (said = tally.count));
  }, REPORT_INTERVAL_MS);
  await Promise.race([stop, crew.failed]);
  clearInterval(reporter);
  await crew.stop();
  const { runs, failures, times } = tally;
  await say("stop", { runs, failures, times });
}

function emit(event, values = {}) {
  process.stdout.write(`${JSON.stringify({ event, ...values })}\n`);
}

function nanoseconds() {
  return Number(process.hrtime.bigint());
}

/** The earlier of two times, of which 0 is never. */
function earlier(one, other) {
  if (one === 0n || other === 0n) return one || other;
  return one < other ? one : other;
}

/** The numbers 0 … jobs-1, in batches. */
function* batches(jobs, size) {
  for (let first = 0; first < jobs; first += size) {
    yield Array.from({ length: Math.min(size, jobs - first) }, (_, offset) => first + offset);
  }
}

function compute() {
  return createHash("sha256").update(COMPUTED).digest();
}

/** This process's resident set, now and at its highest, in KiB (Linux; elsewhere empty). */
function residentSet() {
  try {
    const status = readFileSync("/proc/self/status", "utf8");
    const size = (name) => Number(status.match(new RegExp(`^${name}:\\s+(\\d+) kB`, "m"))[1]);
    return { rss_kib: size("VmRSS"), rss_peak_kib: size("VmHWM") };
  } catch {
    return {};
  }
}

function write(path, array) {
  writeFileSync(path, new Uint8Array(array.buffer));
}
