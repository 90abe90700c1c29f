// Light or dark: the system's choice until the user makes one, which is then remembered and shared by every tab.
const KEY = "tilewright.theme";
const system = matchMedia("(prefers-color-scheme: dark)");

export type Theme = "light" | "dark";

export function theme(): Theme {
  const chosen = localStorage.getItem(KEY);
  if (chosen === "light" || chosen === "dark") return chosen;
  return system.matches ? "dark" : "light";
}

export function chooseTheme(next: Theme): void {
  // A choice that equals the system's follows the system again.
  if ((next === "dark") === system.matches) localStorage.removeItem(KEY);
  else localStorage.setItem(KEY, next);
  apply();
}

/** Calls back now and at every change, whoever made it. */
export function watchTheme(changed: (theme: Theme) => void): void {
  watchers.push(changed);
  apply();
}

const watchers: ((theme: Theme) => void)[] = [];

function apply(): void {
  const now = theme();
  document.documentElement.classList.toggle("wa-dark", now === "dark");
  document.documentElement.classList.toggle("wa-light", now === "light");
  for (const changed of watchers) changed(now);
}

system.addEventListener("change", apply);
addEventListener("storage", (event) => {
  if (event.key === KEY) apply();
});
