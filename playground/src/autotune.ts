// The tuning page: fonts and theme as on the chat page, then the one element that is the page.
import "@fontsource-variable/inter/opsz.css";
import "@fontsource-variable/jetbrains-mono/wght.css";
import "@awesome.me/webawesome/dist/styles/themes/default.css";
import "./page.css";
import "./icons";
import "./components/autotune/page";
