// Runs before the pool worker's own script: on command it ends the worker, or has it trap. Its address may say how much memory
// the module really gets, whatever it asks for.
const channel = new BroadcastChannel("watched worker");
channel.addEventListener("message", ({ data }) => {
  if (data === "end the pool") self.close();
});
