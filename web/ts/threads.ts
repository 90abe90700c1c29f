/**
 * How many threads the CPU engine gets: all cores, but one for the page where there are more than two. Beyond sixteen the
 * memory is what a model waits for, not the cores.
 */
export function threadCount(cores: number | undefined): number {
  const known = cores ?? 1;
  return Math.max(1, Math.min(16, known > 2 ? known - 1 : known));
}
