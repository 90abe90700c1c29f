// The CPU pool's worker, watched: the same script after one that does harm on command.
import "./watch-pool.js";
import "/lib/tilewright-pool-worker.js";
