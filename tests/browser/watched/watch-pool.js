// Runs before the pool worker's own script: on command it ends the worker, or has it trap.
const channel = new BroadcastChannel("watched worker");
channel.addEventListener("message", ({ data }) => {
  if (data === "end the pool") self.close();
  if (data === "trap the pool") void Promise.reject(new WebAssembly.RuntimeError("the test's trap"));
});
