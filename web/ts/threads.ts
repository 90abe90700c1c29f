/** Each thread has a stack in the module's memory, and is a worker that the browser has to start. */
const MOST_THREADS = 16;

/**
 * How many threads the CPU engine gets: all cores, but one for the page where there are more than two. Whoever asks for a
 * number gets it, be it more than there are cores.
 */
export function threadCount(cores: number | undefined, asked: number | null = null): number {
  const known = cores ?? 1;
  return Math.max(1, Math.min(MOST_THREADS, asked ?? (known > 2 ? known - 1 : known)));
}
