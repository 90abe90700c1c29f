// Re-renders a component when one of the page's stores says "change": at once, and then every 33 ms at most, however fast
// tokens come.
import type { ReactiveController, ReactiveControllerHost } from "lit";

const PAUSE_MS = 33;

export class Watch implements ReactiveController {
  private timer = 0;
  private changedMeanwhile = false;

  constructor(
    private readonly host: ReactiveControllerHost,
    private readonly stores: readonly EventTarget[],
  ) {
    host.addController(this);
  }

  hostConnected(): void {
    for (const store of this.stores) store.addEventListener("change", this.changed);
  }

  hostDisconnected(): void {
    for (const store of this.stores) store.removeEventListener("change", this.changed);
    clearTimeout(this.timer);
    this.timer = 0;
  }

  private readonly changed = (): void => {
    if (this.timer !== 0) {
      this.changedMeanwhile = true;
      return;
    }
    this.changedMeanwhile = false;
    this.host.requestUpdate();
    // A timer, as a hidden tab gets no animation frames and should still be up to date when it is shown.
    this.timer = window.setTimeout(() => {
      this.timer = 0;
      if (this.changedMeanwhile) this.changed();
    }, PAUSE_MS);
  };
}
