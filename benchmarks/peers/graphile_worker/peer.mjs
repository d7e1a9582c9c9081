/**
 * graphile-worker: the local queue, and completions and failures in batches without a delay.
 *
 * All three are in its documentation's fastest example. A local queue of 5,000 and of 10,000 were
 * about a third faster than one of 2,000, and that was a third faster than the example's 500, in runs
 * side by side; how many jobs run at once, and the size of the pool, made no difference.
 *
 * It deletes a job that is done and keeps no history, so `succeeded_sql` is empty and the harness
 * compares what ran with what is left. A failed job waits e, e², … seconds for its next attempt, and
 * no setting changes that, so jobs that are retried without a wait are not offered. Neither are
 * threads: it runs all jobs on Node's event loop. What a killed worker held is taken up after 4 h.
 */

import { readFileSync } from "node:fs";

import { Logger, makeWorkerUtils, run } from "graphile-worker";
import pg from "pg";

import { main, OWN_INSERT, OWN_TABLE } from "../protocol.mjs";

const LOCAL_QUEUE_SIZE = 5000;
const CONNECTIONS = 10;
const UNFINISHED_SQL = "select count(*) from graphile_worker._private_jobs";
const ADD_SQL = "select graphile_worker.add_job($1, $2::json)";
const LISTENING_SQL = `
  select count(*) from pg_stat_activity
  where datname = current_database() and state = 'idle' and query like 'LISTEN "jobs:insert"%'`;

const logger = new Logger(() => (level, message) => {
  if (level === "error") process.stderr.write(`${message}\n`);
});

const peer = {
  describe: () => ({
    name: "graphile-worker",
    version: version("graphile-worker"),
    settings: {
      driver: `pg ${version("pg")}, pool of ${CONNECTIONS}`,
      runtime: `Node ${process.versions.node}`,
      "local queue": `${LOCAL_QUEUE_SIZE} jobs`,
      completeJobBatchDelay: "0 ms",
      failJobBatchDelay: "0 ms",
      history: "none: deletes finished jobs",
    },
    sizes: {
      burn_down: 50_000,
      burn_down_quick: 20_000,
      memory_waiting: 100_000,
      memory_waiting_quick: 50_000,
      memory_drained: 20_000,
    },
    backend: "postgresql",
    history: false,
    kinds: ["noop", "io", "cpu"],
    abilities: ["batch", "single", "transaction", "processes", "stop"],
    succeeded_sql: "",
    unfinished_sql: UNFINISHED_SQL,
  }),

  async install(database) {
    const utils = await makeWorkerUtils({ connectionString: database, logger });
    await utils.migrate();
    await utils.withPgClient((client) => client.query(OWN_TABLE));
    await utils.release();
  },

  async deferrer(database) {
    const preset = { worker: { connectionString: database, maxPoolSize: CONNECTIONS, logger } };
    const utils = await makeWorkerUtils({ preset });
    return {
      one: (kind, number) => utils.addJob(kind, { number }),
      batch: (kind, numbers) =>
        utils.addJobs(numbers.map((number) => ({ identifier: kind, payload: { number } }))),
      close: () => utils.release(),
    };
  },

  /** Its SQL function is what it documents for a transaction of one's own. */
  async transactions(database, callers) {
    const pool = await connected(database, callers);
    return {
      async one(kind, number) {
        const client = await pool.connect();
        await client.query("begin");
        await client.query(OWN_INSERT, [number]);
        await client.query(ADD_SQL, [kind, JSON.stringify({ number })]);
        await client.query("commit");
        client.release();
      },
      close: () => pool.end(),
    };
  },

  async work({ database, concurrency, kind, run: job }) {
    const runner = await run({
      preset: {
        worker: {
          connectionString: database,
          concurrentJobs: concurrency,
          maxPoolSize: CONNECTIONS,
          localQueue: { size: LOCAL_QUEUE_SIZE },
          completeJobBatchDelay: 0,
          failJobBatchDelay: 0,
          logger,
        },
      },
      taskList: { [kind]: ({ number }) => job(number) },
      noHandleSignals: true,
    });
    return { stop: () => runner.stop(), failed: runner.promise };
  },

  unfinished: (database) => counting(database, UNFINISHED_SQL),
  listening: (database) => counting(database, LISTENING_SQL),
};

function version(name) {
  const path = new URL(`node_modules/${name}/package.json`, import.meta.url);
  return JSON.parse(readFileSync(path, "utf8")).version;
}

/** A pool whose connections are all open. */
async function connected(database, size) {
  const pool = new pg.Pool({ connectionString: database, max: size });
  const clients = await Promise.all(Array.from({ length: size }, () => pool.connect()));
  for (const client of clients) client.release();
  return pool;
}

async function counting(database, query) {
  const client = new pg.Client({ connectionString: database });
  await client.connect();
  return {
    look: async () => Number((await client.query(query)).rows[0].count),
    close: () => client.end(),
  };
}

await main(peer);
