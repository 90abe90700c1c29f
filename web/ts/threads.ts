/**
 * How many threads the CPU engine gets: all cores, but one for the page where there are more than two. Sixteen at most:
 * each has a stack in the module's memory, and is a worker that the browser has to start.
 */
export function threadCount(cores: number | undefined): number {
  const known = cores ?? 1;
  return Math.max(1, Math.min(16, known > 2 ? known - 1 : known));
}
