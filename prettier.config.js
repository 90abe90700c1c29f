// The same width as rustfmt.toml: the two languages sit side by side.
export default { printWidth: 120 };
