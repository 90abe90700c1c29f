/**
 * From what a person writes to where the files are.
 *
 * | written | meant |
 * | --- | --- |
 * | nothing, or `smollm2-135m-instruct` | the embedded default: `models/...gguf` of the site that serves the library |
 * | `https://host/x.gguf`, `/x.gguf`, `./x.gguf` | that file |
 * | `https://host/folder/`, `/folder`, `./folder` | that folder, in Hugging Face layout |
 * | `org/name`, `org/name@revision` | that repository on huggingface.co, as a folder |
 * | `org/name/path/x.gguf` | that file of that repository |
 * | `https://huggingface.co/org/name[/tree/rev]`, `.../blob/rev/x.gguf` | the same, as copied from the address bar |
 *
 * A relative address therefore starts with `/`, `./` or `../`: `org/name` alone is a repository.
 */

import { TilewrightError } from "./errors.js";

/** Where a model is, and how its files lie there. */
export interface ModelAddress {
  /** What the model is called in requests and responses. */
  id: string;
  /** Of the file (`gguf`), or of the folder with a slash at its end (`huggingface`). Engines are shared by this. */
  url: string;
  layout: "gguf" | "huggingface";
}

/** The model that comes with the site. */
export const DEFAULT_MODEL = "smollm2-135m-instruct";

/** Ids that name a file of the site's own `models/` folder. */
const EMBEDDED: Readonly<Record<string, string>> = {
  [DEFAULT_MODEL]: "SmolLM2-135M-Instruct.Q4_1.gguf",
};

const HUB = "https://huggingface.co/";
const REPOSITORY = /^([A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*)(?:@([\w./-]+))?$/;
const REPOSITORY_FILE = /^([A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*)\/((?:[\w.-]+\/)*[\w.-]+\.gguf)$/i;

/**
 * Reads a model's address.
 * @param written what the user gave
 * @param page the page's own URL, which relative addresses start from
 * @param library the URL of the library's worker: the embedded models lie in `../models/` from there
 */
export function readModelAddress(written: string | undefined, page: string, library: string): ModelAddress {
  const text = (written ?? DEFAULT_MODEL).trim();
  const embedded = Object.hasOwn(EMBEDDED, text) ? EMBEDDED[text] : undefined;
  if (embedded !== undefined) {
    return { id: text, url: new URL(`../models/${embedded}`, library).href, layout: "gguf" };
  }

  const file = REPOSITORY_FILE.exec(text);
  if (file) return hubFile(file[1] ?? "", "main", file[2] ?? "");
  const repository = REPOSITORY.exec(text);
  if (repository) return hubFolder(repository[1] ?? "", repository[2] ?? "main");

  if (!/^(https?:\/\/|\.{0,2}\/)/i.test(text)) throw unreadable(text);
  let url: URL;
  try {
    url = new URL(text, page);
  } catch {
    throw unreadable(text);
  }
  url.hash = "";
  return fromHubPage(url) ?? fromUrl(url);
}

function fromUrl(url: URL): ModelAddress {
  const name = lastSegment(url);
  if (/\.gguf$/i.test(name)) return { id: name.replace(/\.gguf$/i, ""), url: url.href, layout: "gguf" };
  if (/\.(safetensors|json|bin|pt|onnx)$/i.test(name)) {
    throw invalid(
      "model_address_is_a_part",
      `${url.href} is one file of a model; give the folder that holds it together with config.json and tokenizer.json`,
    );
  }
  if (!url.pathname.endsWith("/")) url.pathname += "/";
  return { id: name === "" ? url.host : name, url: url.href, layout: "huggingface" };
}

/** `https://huggingface.co/org/name[/tree/revision | /blob/revision/file | /resolve/revision/file]` */
function fromHubPage(url: URL): ModelAddress | undefined {
  if (url.origin !== new URL(HUB).origin) return undefined;
  const [org, name, kind, revision, ...rest] = url.pathname.split("/").filter((part) => part !== "");
  if (org === undefined || name === undefined) return undefined;
  const repository = `${org}/${name}`;
  if (kind === undefined) return hubFolder(repository, "main");
  if (revision === undefined || !["tree", "blob", "resolve"].includes(kind)) return undefined;
  const path = rest.join("/");
  if (/\.gguf$/i.test(path)) return hubFile(repository, revision, path);
  return rest.length === 0 ? hubFolder(repository, revision) : undefined;
}

function hubFolder(repository: string, revision: string): ModelAddress {
  return { id: repository, url: `${HUB}${repository}/resolve/${revision}/`, layout: "huggingface" };
}

function hubFile(repository: string, revision: string, path: string): ModelAddress {
  const name = path.split("/").at(-1) ?? path;
  return {
    id: name.replace(/\.gguf$/i, ""),
    url: `${HUB}${repository}/resolve/${revision}/${path}`,
    layout: "gguf",
  };
}

function lastSegment(url: URL): string {
  const segment = url.pathname.split("/").findLast((part) => part !== "") ?? "";
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

/** The file's name, as the engine is told it. */
export function fileNameOf(address: ModelAddress): string {
  return lastSegment(new URL(address.url));
}

/**
 * Where one file of a model is. Names come from the model's own index, so they are not trusted: a plain name, or nothing.
 */
export function fileUrl(address: ModelAddress, name: string): string {
  if (address.layout === "gguf") {
    if (name === fileNameOf(address)) return address.url;
    throw invalid("file_name_not_allowed", `${name} is not the file that ${address.url} names`);
  }
  if (!/^[^/\\:?#%]+$/.test(name) || name === "." || name === "..") {
    throw invalid("file_name_not_allowed", `${JSON.stringify(name)} is not a plain file name, so it is not fetched`);
  }
  const url = new URL(address.url);
  url.pathname += name;
  return url.href;
}

function unreadable(text: string): TilewrightError {
  return invalid(
    "model_address_not_understood",
    `${JSON.stringify(text)} names no model: give the URL of a .gguf file, the URL of a folder in Hugging Face layout ` +
      `(a relative one starts with "/" or "./"), a repository as "org/name", or "${DEFAULT_MODEL}"`,
  );
}

function invalid(code: string, message: string): TilewrightError {
  return new TilewrightError({ type: "invalid_request_error", code, param: "model", message });
}
