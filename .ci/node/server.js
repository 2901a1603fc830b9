// A server with the demo model for one test file, and what tests wait for.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { setTimeout } from "node:timers/promises";

/** Starts a server on a free port with more flags of `host serve`; HOST is the binary. */
export async function serve(...flags) {
  const child = spawn(process.env.HOST, ["serve", "--port", "0", ...flags], { stdio: ["ignore", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout });
  const [line] = await Promise.race([once(lines, "line"), once(child, "exit").then(() => [""])]);
  const url = line.match(/http:\/\/\S+\/v1/)?.[0];
  if (!url) throw new Error("the server did not start");
  return new Server(child, url);
}

class Server {
  constructor(child, url) {
    this.child = child;
    this.url = url;
  }

  /** The current value of a metric, in its unit. */
  async metric(name) {
    const text = await (await fetch(new URL("/metrics", this.url))).text();
    const line = text.split("\n").find((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`));
    return Number(line?.split(" ").at(-1));
  }

  /** Waits until a metric has a value. */
  async reaches(name, value) {
    for (const deadline = Date.now() + 20_000; Date.now() < deadline; await setTimeout(10)) {
      if ((await this.metric(name)) === value) return;
    }
    throw new Error(`${name} never became ${value}`);
  }

  /** Ends the server as an operator does; its exit code. */
  async stop() {
    const exit = once(this.child, "exit");
    this.child.kill("SIGTERM");
    return (await exit)[0];
  }
}
