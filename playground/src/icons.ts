// Icons are Lucide's, bundled: wa-icon would otherwise fetch Font Awesome from another site.
import { registerIconLibrary } from "@awesome.me/webawesome/dist/components/icon/library.js";
import arrowDown from "lucide-static/icons/arrow-down.svg?raw";
import arrowUp from "lucide-static/icons/arrow-up.svg?raw";
import check from "lucide-static/icons/check.svg?raw";
import chat from "lucide-static/icons/message-square.svg?raw";
import copy from "lucide-static/icons/copy.svg?raw";
import external from "lucide-static/icons/external-link.svg?raw";
import focused from "lucide-static/icons/keyboard.svg?raw";
import frozen from "lucide-static/icons/snowflake.svg?raw";
import hidden from "lucide-static/icons/eye-off.svg?raw";
import models from "lucide-static/icons/hard-drive.svg?raw";
import moon from "lucide-static/icons/moon.svg?raw";
import pause from "lucide-static/icons/pause.svg?raw";
import pen from "lucide-static/icons/pen-line.svg?raw";
import gauge from "lucide-static/icons/gauge.svg?raw";
import play from "lucide-static/icons/play.svg?raw";
import plus from "lucide-static/icons/square-pen.svg?raw";
import exported from "lucide-static/icons/download.svg?raw";
import imported from "lucide-static/icons/upload.svg?raw";
import reading from "lucide-static/icons/book-open.svg?raw";
import retry from "lucide-static/icons/refresh-cw.svg?raw";
import settings from "lucide-static/icons/sliders-horizontal.svg?raw";
import stop from "lucide-static/icons/square.svg?raw";
import sun from "lucide-static/icons/sun.svg?raw";
import tabs from "lucide-static/icons/layout-dashboard.svg?raw";
import tuning from "lucide-static/icons/activity.svg?raw";
import trash from "lucide-static/icons/trash-2.svg?raw";
import trouble from "lucide-static/icons/triangle-alert.svg?raw";
import unknown from "lucide-static/icons/circle-question-mark.svg?raw";
import unread from "lucide-static/icons/mail.svg?raw";
import visible from "lucide-static/icons/eye.svg?raw";
import waiting from "lucide-static/icons/hourglass.svg?raw";

const icons: Record<string, string> = {
  "arrow-down": arrowDown,
  "arrow-up": arrowUp,
  check,
  chat,
  copy,
  export: exported,
  external,
  focused,
  frozen,
  gauge,
  hidden,
  import: imported,
  models,
  moon,
  "new-chat": plus,
  pause,
  pen,
  play,
  reading,
  retry,
  settings,
  stop: stop.replace('fill="none"', 'fill="currentColor"'),
  sun,
  tabs,
  trash,
  trouble,
  tuning,
  unknown,
  unread,
  visible,
  waiting,
};

registerIconLibrary("default", {
  resolver: (name) => `data:image/svg+xml,${encodeURIComponent(icons[name] ?? "")}`,
});
