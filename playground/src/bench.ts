// The benchmark: fonts and theme as on the chat page, the one element that is the page, and `window.runBench` for programs
// that drive a browser.
import "@fontsource-variable/inter/opsz.css";
import "@fontsource-variable/jetbrains-mono/wght.css";
import "@awesome.me/webawesome/dist/styles/themes/default.css";
import "./page.css";
import "./icons";
import "./components/bench/page";
import { runBench } from "./library";

declare global {
  interface Window {
    runBench: typeof runBench;
  }
}

window.runBench = runBench;
