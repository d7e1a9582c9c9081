/**
 * pg-boss: batches, bursts while batches are full, and notifications.
 *
 * 4 local workers that fetch batches of 2,000 were as fast as any other mix of 1 to 10 workers and
 * batches of 500 to 5,000 in runs side by side; batches of 100 were a third slower. A table of the
 * queue's own (`partition`), and fetching without priority or order, gained nothing. Outcomes are
 * settled for each job (`perJobResults`): by default one job that fails would fail its batch, and that
 * was no faster. It runs all jobs on Node's event loop, so threads are not offered.
 */

import { readFileSync } from "node:fs";

import pg from "pg";
import { PgBoss } from "pg-boss";

import { main, OWN_INSERT, OWN_TABLE } from "../protocol.mjs";

const KINDS = ["noop", "io", "cpu", "fail_once"];
const BATCH_SIZE = 2000;
const LOCAL_WORKERS = 4;
const CONNECTIONS = 10;
const RETRIES = 3;
// A batch of these holds the event loop until it is through.
const CPU_BATCH_SIZE = 50;
// A retry does not notify; without notifications it polls.
const POLLING_INTERVAL_S = 0.5;
const BACKSTOP_INTERVAL_S = 30;
const SUCCEEDED_SQL = "select count(*) from pgboss.job where state = 'completed'";
const UNFINISHED_SQL =
  "select count(*) from pgboss.job where state in ('created', 'retry', 'active')";

const peer = {
  describe: () => ({
    name: "pg-boss",
    version: version("pg-boss"),
    settings: {
      driver: `pg ${version("pg")}, pool of ${CONNECTIONS}`,
      runtime: `Node ${process.versions.node}`,
      "local workers": String(LOCAL_WORKERS),
      "batch size": `${BATCH_SIZE} (io: so that as many run at once as asked for; cpu: ${CPU_BATCH_SIZE})`,
      burstWhenBatchFull: "on",
      notifications: "on (useListenNotify, notify); polls every 30 s besides (retries: 0.5 s)",
      perJobResults: "on",
      history: "completed jobs kept (deleted after 7 days, its default)",
    },
    sizes: {
      burn_down: 40_000,
      burn_down_quick: 15_000,
      memory_waiting: 80_000,
      memory_waiting_quick: 20_000,
      memory_drained: 10_000,
    },
    backend: "postgresql",
    kinds: KINDS,
    abilities: ["batch", "single", "transaction", "processes", "stop"],
    succeeded_sql: SUCCEEDED_SQL,
    unfinished_sql: UNFINISHED_SQL,
  }),

  async install(database) {
    const boss = await opened(database);
    for (const kind of KINDS) {
      await boss.createQueue(kind, { retryLimit: RETRIES, retryDelay: 0, notify: true });
    }
    await boss.getDb().executeSql(OWN_TABLE);
    await boss.stop();
  },

  async deferrer(database) {
    const boss = await opened(database, { supervise: false, schedule: false });
    return {
      one: (kind, number) => boss.send(kind, { number }),
      batch: (kind, numbers) =>
        boss.insert(kind, numbers.map((number) => ({ data: { number } }))),
      close: () => boss.stop({ graceful: false }),
    };
  },

  async transactions(database, callers) {
    const boss = await opened(database, { supervise: false, schedule: false });
    const pool = await connected(database, callers);
    return {
      async one(kind, number) {
        const client = await pool.connect();
        const db = { executeSql: (text, values) => client.query(text, values) };
        await client.query("begin");
        await client.query(OWN_INSERT, [number]);
        await boss.send(kind, { number }, { db });
        await client.query("commit");
        client.release();
      },
      async close() {
        await boss.stop({ graceful: false });
        await pool.end();
      },
    };
  },

  async work({ database, concurrency, kind, run }) {
    const boss = await opened(database);
    const options = {
      batchSize: batchSize(kind, concurrency),
      localConcurrency: LOCAL_WORKERS,
      burstWhenBatchFull: true,
      perJobResults: true,
      pollingIntervalSeconds: POLLING_INTERVAL_S,
      notifyPollingIntervalSeconds: kind === "fail_once" ? POLLING_INTERVAL_S : BACKSTOP_INTERVAL_S,
    };
    const settled = async ({ id, data }) => {
      try {
        await run(data.number);
        return { id, status: "completed" };
      } catch (error) {
        return { id, status: "failed", output: error };
      }
    };
    await boss.work(kind, options, (jobs) => Promise.all(jobs.map(settled)));
    return { stop: () => boss.stop() };
  },

  async unfinished(database) {
    const client = new pg.Client({ connectionString: database });
    await client.connect();
    return {
      look: async () => Number((await client.query(UNFINISHED_SQL)).rows[0].count),
      close: () => client.end(),
    };
  },
};

function batchSize(kind, concurrency) {
  const sizes = { io: Math.ceil(concurrency / LOCAL_WORKERS), cpu: CPU_BATCH_SIZE };
  return sizes[kind] ?? BATCH_SIZE;
}

async function opened(database, options = {}) {
  const boss = new PgBoss({
    connectionString: database,
    max: CONNECTIONS,
    useListenNotify: true,
    ...options,
  });
  boss.on("error", (error) => process.stderr.write(`${error.message}\n`));
  await boss.start();
  return boss;
}

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

await main(peer);
