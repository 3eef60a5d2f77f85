// The form that takes a token, where the server asks for one.

import { token } from "./api.js";
import { h } from "./dom.js";

/** See app.js for what a view is. `again`: whether a token was given that does not hold. */
export function signInView({ again, onToken }) {
  function submit(event) {
    event.preventDefault();
    const secret = event.target.elements.namedItem("token").value.trim();
    if (!secret) return;
    token.set(secret);
    onToken();
  }

  function render() {
    return h(
      "div",
      { class: "sign-in" },
      h("h1", {}, "Sign in"),
      h("p", {}, "This server asks for a token. Whoever runs it makes one with ", h("code", {}, "milepost tokens create"), "."),
      again ? h("p", { class: "notice bad", role: "alert" }, "This token does not hold: it is unknown here, expired or revoked.") : null,
      h(
        "form",
        { onsubmit: submit },
        h("div", { class: "field" }, h("label", { for: "token" }, "Token"), h("input", { id: "token", name: "token", type: "password", autocomplete: "off", spellcheck: "false", required: true })),
        h("p", { class: "muted" }, "It is kept in this tab until it is closed or you sign out, and nowhere else."),
        h("p", { class: "buttons" }, h("button", { type: "submit", class: "primary" }, "Sign in")),
      ),
    );
  }

  return { kind: "sign-in", title: "Sign in", render, look: () => {}, heard: () => {}, close: () => {} };
}
