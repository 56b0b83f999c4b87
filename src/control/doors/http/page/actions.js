// Drain, enable and disable: asked twice, done, told.

import { NOT_ALLOWED, call } from "./rpc.js";

const ACTIONS = [
  { name: "drain", label: "Drain", from: ["enabled"], means: "It gets no new calls. Those that it has go on." },
  { name: "enable", label: "Enable", from: ["draining", "disabled"], means: "It gets calls again when it is healthy." },
  { name: "disable", label: "Disable", from: ["enabled", "draining"], means: "It gets neither calls nor probes. Calls that it has go on." },
];

const byId = (id) => document.getElementById(id);

// Whoever waits for an answer of the dialog.
let decide = () => {};

function decided(isMeant) {
  decide(isMeant);
  decide = () => {};
}

// Asks; true when it shall be done. Escape and Cancel are no.
function confirmed(title, means, label) {
  decided(false);
  byId("confirm-title").textContent = title;
  byId("confirm-text").textContent = means;
  byId("confirm-yes").textContent = label;
  byId("confirm").showModal();
  return new Promise((resolve) => {
    decide = resolve;
  });
}

byId("confirm-no").addEventListener("click", () => byId("confirm").close());
byId("confirm-yes").addEventListener("click", () => {
  decided(true);
  byId("confirm").close();
});
byId("confirm").addEventListener("close", () => {
  // This comes some time after the dialog was closed: by then it may be open for another question.
  if (!byId("confirm").open) {
    decided(false);
  }
});

// The column of buttons. `after` is told what came of it: a text, whether it is a fault, and whether it was one of the role.
export function actions(after) {
  const items = new WeakMap();
  return {
    className: "act",
    fill(cell) {
      for (const action of ACTIONS) {
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = action.label;
        button.dataset.action = action.name;
        button.addEventListener("click", () => act(action, items.get(cell), after));
        cell.append(button);
      }
    },
    set(cell, item) {
      items.set(cell, item);
      for (const [index, button] of [...cell.children].entries()) {
        button.disabled = !ACTIONS[index].from.includes(item.admin);
        button.setAttribute("aria-label", `${ACTIONS[index].label} ${item.uri} of set ${item.set}`);
      }
    },
  };
}

async function act(action, item, after) {
  const title = `${action.label} ${item.uri} of set ${item.set}?`;
  if (!(await confirmed(title, action.means, action.label))) {
    return;
  }
  try {
    const answer = await call(`dispatcher.${action.name}`, { set: item.set, destination: item.duid || item.uri });
    after(`${answer.uri} of set ${answer.set} is ${answer.admin}; it has ${answer.calls} calls.`, false, false);
  } catch (error) {
    after(`${action.label} ${item.uri}: ${error.message}`, true, error.code === NOT_ALLOWED);
  }
}
