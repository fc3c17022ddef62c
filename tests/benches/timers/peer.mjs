// Delays jobs with BullMQ. Reads one line a task, answers one line of JSON.
//
//   add COUNT DUE     adds so many jobs for one instant, in milliseconds since 1970, a thousand a call
//   work COUNT DUE    starts a worker whose handler does nothing; answers when so many jobs have completed

import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { randomUUID } from 'node:crypto';

const require = createRequire(`${process.env.GATEPOST_PEERS}/package.json`);
const { Queue, Worker } = require('bullmq');
const Redis = require('ioredis');

const CALL = 1000;
const CONCURRENCY = 100;
const connect = () => new Redis({ path: process.argv[2], maxRetriesPerRequest: null });
const answer = (found) => console.log(JSON.stringify(found));

async function add(count, due) {
    const connection = connect();
    const queue = new Queue('timers', { connection });
    await queue.waitUntilReady();
    const began = performance.now();
    for (let added = 0; added < count; added += CALL) {
        const now = Date.now();
        const job = () => ({
            name: 'timer',
            data: {},
            opts: { jobId: randomUUID(), timestamp: now, delay: due - now, removeOnComplete: true },
        });
        await queue.addBulk(Array.from({ length: Math.min(CALL, count - added) }, job));
    }
    const seconds = (performance.now() - began) / 1000;
    await queue.close();
    connection.disconnect();
    answer({ seconds });
}

async function work(count, due) {
    const connection = connect();
    const late = [];
    const handler = async () => {
        late.push(performance.timeOrigin + performance.now() - due);
    };
    const worker = new Worker('timers', handler, { connection, concurrency: CONCURRENCY });
    await worker.waitUntilReady();
    let completed = 0;
    await new Promise((resolve) => {
        worker.on('completed', () => {
            completed += 1;
            if (completed === count) resolve();
        });
    });
    const seconds = (performance.timeOrigin + performance.now() - due) / 1000;
    await worker.close();
    connection.disconnect();
    answer({ seconds, late });
}

answer({ version: require('bullmq/package.json').version });
for await (const line of createInterface({ input: process.stdin })) {
    const [task, count, due] = line.split(' ');
    await { add, work }[task](Number(count), Number(due));
}
