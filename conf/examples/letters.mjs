#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
//
// An example of a persistent handler in Node.js: form letters. One text is made of each row, with
// {{name}} replaced by the row's member of that name.
//
//   input    {"template": "Dear {{name}},", "rows": [{"name": "Ada"}, {"name": "Grace"}]}
//   output   {"letters": ["Dear Ada,", "Dear Grace,"]}
//
// Try it: yardmasterd run letters --once --mode persistent \
//             --input '{"template": "Dear {{name}},", "rows": [{"name": "Ada"}]}' -- ./letters.mjs
// Use it: copy letters.mjs and letters.conf into conf.d beside yardmaster.conf, yardctl reload.
//
// To make a handler of your own, write another execute() and keep the rest: class Task and
// function serve are all that yardmaster-protocol(7) asks for. There is nothing to npm install.

import { createInterface } from 'node:readline';
import { setImmediate } from 'node:timers/promises';

/** Thrown by execute: the task has failed; terminal: and no retry helps. */
class Failure extends Error {
  constructor(reason, { terminal = false } = {}) {
    super(reason);
    this.status = terminal ? 'FAILED_WITH_TERMINAL_ERROR' : 'FAILED';
  }
}

/** One task in hand, for execute. */
class Task {
  #cancel = new AbortController();

  constructor(object) {
    this.object = object;
    this.id = object.taskId;
    this.input = object.inputData ?? {};
    /** For fetch() and whatever else takes a signal. */
    this.signal = this.#cancel.signal;
  }

  send(type, members) {
    process.stdout.write(JSON.stringify({ type, taskId: this.id, ...members }) + '\n');
  }

  /** A line of the task's own log. */
  log(message) {
    this.send('log', { message });
  }

  /** percent, stage, message, data; each may be left out. */
  progress(members) {
    this.send('progress', members);
  }

  cancel() {
    this.#cancel.abort(new Failure('cancelled'));
  }
}

/** Until the daemon says drain or closes stdin; then what is in hand is finished. */
function serve(execute) {
  const tasks = new Map();
  const lines = createInterface({ input: process.stdin });
  let draining = false;

  // Standard output carries the answers: what is printed goes to the log.
  for (const name of ['log', 'info', 'debug']) console[name] = console.error;

  // With no task in hand and nothing to read, Node.js ends by itself.
  const endIfDone = () => {
    if (draining && tasks.size === 0) process.stdin.destroy();
  };

  const run = async (task) => {
    tasks.set(task.id, task);
    try {
      task.send('result', { status: 'COMPLETED', output: await execute(task) });
    } catch (error) {
      task.send('result', { status: error.status ?? 'FAILED', reason: String(error.message) });
    }
    tasks.delete(task.id);
    endIfDone();
  };

  lines.on('line', (line) => {
    const message = JSON.parse(line);
    if (message.type === 'task') {
      run(new Task(message.task));
    } else if (message.type === 'cancel') {
      tasks.get(message.taskId)?.cancel();
    } else if (message.type === 'drain') {
      draining = true;
      endIfDone();
    }
  });
}

const ROWS_AT_A_TIME = 1000;

async function execute(task) {
  const { template, rows } = task.input;
  const letters = [];

  if (typeof template !== 'string' || !Array.isArray(rows)) {
    throw new Failure('the input must have "template", a string, and "rows", an array', {
      terminal: true,
    });
  }
  for (const [index, row] of rows.entries()) {
    letters.push(
      template.replace(/\{\{(\w+)\}\}/g, (_, name) => {
        if (!Object.hasOwn(row ?? {}, name)) {
          throw new Failure(`row ${index} has no "${name}"`, { terminal: true });
        }
        return String(row[name]);
      }),
    );
    if (letters.length % ROWS_AT_A_TIME === 0) {
      task.progress({ percent: (100 * letters.length) / rows.length });
      await setImmediate(); // other tasks' turn, and a cancel's
      task.signal.throwIfAborted();
    }
  }
  return { letters };
}

serve(execute);
