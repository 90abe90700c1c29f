// A model's markdown as safe HTML, block by block.
//
// A streamed answer is rendered many times. Only its last block changes, so each top-level block is rendered apart and kept by
// its source: the page touches the DOM of the last one only, and selection, scroll and focus in the others survive.
// HTML in an answer is shown as text, images as links (a picture's address is a way to leak a conversation), and DOMPurify
// sees everything last.
import DOMPurify from "dompurify";
import hljs from "highlight.js/lib/common";
import { Marked, type Token, type Tokens } from "marked";

const markdown = new Marked({
  gfm: true,
  breaks: true,
  renderer: {
    html: ({ text }) => escape(text),
    image: ({ href, text }) => link(href, text || href),
    link({ href, tokens }) {
      return link(href, this.parser.parseInline(tokens), true);
    },
    code: ({ text, lang }) => code(text, lang ?? ""),
    table(token) {
      const cells = (row: Tokens.TableCell[], tag: string) =>
        row
          .map((cell) => `<${tag} align="${cell.align ?? "left"}">${this.parser.parseInline(cell.tokens)}</${tag}>`)
          .join("");
      const body = token.rows.map((row) => `<tr>${cells(row, "td")}</tr>`).join("");
      return `<div class="table"><table><thead><tr>${cells(token.header, "th")}</tr></thead><tbody>${body}</tbody></table></div>`;
    },
  },
});

/** The blocks of a document, each as sanitised HTML. The same source gives the same string. */
export class MarkdownBlocks {
  private kept = new Map<string, string>();

  render(source: string): string[] {
    const tokens = markdown.lexer(source);
    const kept = new Map<string, string>();
    const blocks = tokens
      .filter((token) => token.type !== "space" && token.type !== "def")
      .map((token) => {
        const html = this.kept.get(token.raw) ?? block(token);
        kept.set(token.raw, html);
        return html;
      });
    this.kept = kept;
    return blocks;
  }
}

function block(token: Token): string {
  return DOMPurify.sanitize(markdown.parser([token]), {
    ADD_ATTR: ["target"],
    FORBID_TAGS: ["style", "form", "img", "video", "audio"],
  });
}

function code(text: string, lang: string): string {
  const language = lang.trim().split(/\s/)[0] ?? "";
  const body = hljs.getLanguage(language)
    ? hljs.highlight(text, { language, ignoreIllegals: true }).value
    : escape(text);
  return (
    `<div class="code"><div class="code-bar"><span>${escape(language || "text")}</span>` +
    `<button type="button" data-copy>Copy</button></div><pre tabindex="0"><code>${body}</code></pre></div>`
  );
}

function link(href: string, label: string, isHtml = false): string {
  return `<a href="${escape(href)}" target="_blank" rel="noopener noreferrer">${isHtml ? label : escape(label)}</a>`;
}

const ENTITIES: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (c) => ENTITIES[c] ?? c);
}
