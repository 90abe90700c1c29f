// A SharedWorker that does to a tuning store what it is told: `[method, ...arguments]`. `spoil` writes what is no entry.
import { TuningStore } from "/tuning-store/store.js";

const store = new TuningStore();

function spoil(key, value) {
  return new Promise((done, failed) => {
    const request = indexedDB.open("tilewright tuning");
    request.onerror = () => failed(request.error);
    request.onsuccess = () => {
      const transaction = request.result.transaction(["entries"], "readwrite");
      transaction.objectStore("entries").put(value, key);
      transaction.oncomplete = () => {
        request.result.close();
        done();
      };
    };
  });
}

addEventListener("connect", ({ ports: [port] }) => {
  port.onmessage = async ({ data: [method, ...values] }) => {
    try {
      const result = await (method === "spoil" ? spoil(...values) : store[method](...values));
      port.postMessage({ result });
    } catch (error) {
      port.postMessage({ error: { name: error.name, problem: error.problem, message: error.message } });
    }
  };
});
