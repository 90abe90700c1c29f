// A disk without room for more than a manifest.
const { write } = FileSystemWritableFileStream.prototype;
FileSystemWritableFileStream.prototype.write = function (blob) {
  if (blob.size > 10_000) return Promise.reject(new DOMException("no room", "QuotaExceededError"));
  return write.call(this, blob);
};
