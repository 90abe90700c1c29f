// Re-renders a component when one of the page's stores says "change": at most once a frame, however fast tokens come.
import type { ReactiveController, ReactiveControllerHost } from "lit";

export class Watch implements ReactiveController {
  private frame = 0;

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
    clearTimeout(this.frame);
    this.frame = 0;
  }

  // A timer, as a hidden tab gets no animation frames and should still be up to date when it is shown.
  private readonly changed = (): void => {
    this.frame ||= window.setTimeout(() => {
      this.frame = 0;
      this.host.requestUpdate();
    }, 33);
  };
}
