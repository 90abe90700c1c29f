// Icons are Lucide's, bundled: wa-icon would otherwise fetch Font Awesome from another site.
import { registerIconLibrary } from "@awesome.me/webawesome/dist/components/icon/library.js";
import arrowDown from "lucide-static/icons/arrow-down.svg?raw";
import arrowUp from "lucide-static/icons/arrow-up.svg?raw";
import check from "lucide-static/icons/check.svg?raw";
import copy from "lucide-static/icons/copy.svg?raw";
import moon from "lucide-static/icons/moon.svg?raw";
import plus from "lucide-static/icons/square-pen.svg?raw";
import retry from "lucide-static/icons/refresh-cw.svg?raw";
import settings from "lucide-static/icons/sliders-horizontal.svg?raw";
import stop from "lucide-static/icons/square.svg?raw";
import sun from "lucide-static/icons/sun.svg?raw";
import trouble from "lucide-static/icons/triangle-alert.svg?raw";

const icons: Record<string, string> = {
  "arrow-down": arrowDown,
  "arrow-up": arrowUp,
  check,
  copy,
  moon,
  "new-chat": plus,
  retry,
  settings,
  stop: stop.replace('fill="none"', 'fill="currentColor"'),
  sun,
  trouble,
};

registerIconLibrary("default", {
  resolver: (name) => `data:image/svg+xml,${encodeURIComponent(icons[name] ?? "")}`,
});
