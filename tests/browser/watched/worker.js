// The library's worker, watched: the same script after one that counts what it holds and does harm on command. Pages get it
// with `connect({ workerUrl: "/watched/worker.js" })`, and speak to the watch over a BroadcastChannel.
import "./watch.js";
import "/lib/tilewright-worker.js";
