// A browser that keeps no files for this site, as private windows do.
StorageManager.prototype.getDirectory = () => Promise.reject(new DOMException("not here", "SecurityError"));
