// The page's connection to the engine: loading with its progress, ready, or failed with a reason. One instance a page; the
// engine behind it is shared by all tabs.
import type { DeviceChoice, Progress, Tilewright, TuningMode } from "tilewright";
import { connect } from "./library";
import { Transfer } from "./transfer";

export type EngineState =
  | { is: "loading"; progress?: Progress; transfer: Transfer }
  /** `moving`: what computed is gone, and answers wait for another device. */
  | { is: "ready"; tilewright: Tilewright; moving: boolean }
  | { is: "failed"; error: unknown };

/** The model that the address bar asks for (`?model=`); undefined is the one that comes with the site. */
export function askedModel(): string | undefined {
  return new URLSearchParams(location.search).get("model") ?? undefined;
}

/** The device that the address bar asks for (`?device=`); undefined leaves the choice to the library. */
export function askedDevice(): DeviceChoice | undefined {
  // The library says what is wrong with a device that it does not know.
  return (new URLSearchParams(location.search).get("device") ?? undefined) as DeviceChoice | undefined;
}

/** Whether the engine is tuned by itself, if this page is the one that loads it (`?tuning=off`: not until it is told to). */
export function askedTuning(): TuningMode | undefined {
  return new URLSearchParams(location.search).get("tuning") === "off" ? "off" : undefined;
}

/** A model's name for people: the last part of an address, without what every such name ends with. */
export function modelName(model: string): string {
  const last =
    model
      .replace(/[?#].*$/, "")
      .replace(/\/+$/, "")
      .split("/")
      .pop() ?? model;
  return decodeURIComponent(last).replace(/\.gguf$/i, "");
}

export class Engine extends EventTarget {
  state: EngineState = { is: "loading", transfer: new Transfer() };

  async connect(): Promise<void> {
    const loading: EngineState = { is: "loading", transfer: new Transfer() };
    this.become(loading);
    try {
      const model = askedModel();
      const device = askedDevice();
      const tuning = askedTuning();
      const tilewright = await connect({
        ...(model === undefined ? {} : { model }),
        ...(device === undefined ? {} : { device }),
        ...(tuning === undefined ? {} : { tuning }),
        onDevice: ({ state }) => {
          if (this.state.is === "ready") this.become({ ...this.state, moving: state === "moving" });
        },
        onProgress: (progress) => {
          if (this.state !== loading) return;
          loading.progress = progress;
          loading.transfer.note(progress.loaded);
          this.dispatchEvent(new Event("change"));
        },
      });
      this.become({ is: "ready", tilewright, moving: false });
    } catch (error) {
      this.become({ is: "failed", error });
    }
  }

  private become(state: EngineState): void {
    this.state = state;
    this.dispatchEvent(new Event("change"));
  }
}
