import { beforeEach, expect, test } from "vitest";
import { PageWatch } from "./page-state.js";
import type { PageState } from "./protocol.js";

class FakeDocument extends EventTarget {
  visibilityState: DocumentVisibilityState = "visible";
  focus = false;
  activeElement: Element | null = null;
  hasFocus = (): boolean => this.focus;
}

let document: FakeDocument;
let window: EventTarget;
let states: PageState[];
let watch: PageWatch;

beforeEach(() => {
  [document, window, states] = [new FakeDocument(), new EventTarget(), []];
  watch = new PageWatch({ document, window }, (state) => states.push(state));
});

const seen = (visible: boolean, focused: boolean, frozen: boolean): PageState => ({ visible, focused, frozen });

test("says what changes, and only that", () => {
  expect(watch.state).toEqual(seen(true, false, false));
  document.focus = true;
  window.dispatchEvent(new Event("focus"));
  window.dispatchEvent(new Event("focus"));
  document.focus = false;
  window.dispatchEvent(new Event("blur"));
  document.visibilityState = "hidden";
  document.dispatchEvent(new Event("visibilitychange"));
  expect(states).toEqual([seen(true, true, false), seen(true, false, false), seen(false, false, false)]);
  expect(watch.state).toEqual(seen(false, false, false));
});

test("a focus that goes is gone, even if the browser still says otherwise, unless a frame of the page has it", () => {
  document.focus = true;
  window.dispatchEvent(new Event("focus"));
  document.activeElement = { tagName: "IFRAME" } as Element;
  window.dispatchEvent(new Event("blur"));
  expect(states.length).toBe(1);
  document.activeElement = { tagName: "BODY" } as Element;
  window.dispatchEvent(new Event("blur"));
  expect(states.at(-1)).toEqual(seen(true, false, false));
});

test.each(["resume", "pageshow"])("frozen lasts until %s", (end) => {
  document.visibilityState = "hidden";
  document.dispatchEvent(new Event("visibilitychange"));
  document.dispatchEvent(new Event("freeze"));
  document.dispatchEvent(new Event("visibilitychange"));
  expect(states.at(-1)).toEqual(seen(false, false, true));
  (end === "resume" ? document : window).dispatchEvent(new Event(end));
  expect(states.at(-1)).toEqual(seen(false, false, false));
});

test("closed, it listens no more", () => {
  watch.close();
  document.visibilityState = "hidden";
  for (const type of ["visibilitychange", "freeze", "resume"]) document.dispatchEvent(new Event(type));
  for (const type of ["focus", "blur", "pageshow", "pagehide"]) window.dispatchEvent(new Event(type));
  expect(states).toEqual([]);
});
