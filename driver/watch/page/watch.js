"use strict";
/* Ask for the run's state every few seconds and show it. What a reader has opened or scrolled to stays as it is. */

const EVERY_MS = 5000;
const at = id => document.getElementById(id);
let askedAfter = null; // the step after which responses were asked for last

function table(heads, rows) {
  const body = rows.map(row => element("tr", row.attributes || {}, ...row.cells.map(cell => cell instanceof Node ? cell : element("td", {}, cell))));
  return element("table", {}, element("thead", {}, element("tr", {}, ...heads.map(head => element("th", {}, head)))), element("tbody", {}, ...body));
}

function shareCell(share, kind) {
  if (share === null) return element("td", {}, "–");
  const fill = element("i");
  fill.style.width = `${100 * share}%`;
  return element("td", {}, element("span", {class: `share ${kind}`}, fill), percent(share));
}

function showActors(actors) {
  const heads = ["Actor", "Throughput", "", "Busy", "Waiting", "Queue", "Version", "Behind", "Restarts", "Memory"];
  const rows = actors.map(actor => ({
    attributes: actor.serving === 0 ? {class: "gone", title: "not serving"} : {},
    cells: [
      actor.serving === 0 ? `${actor.name} (not serving)` : actor.name,
      actor.rate === null ? "–" : `${number(actor.rate)} ${actor.unit}`,
      element("td", {}, actor.rates.length ? spark(actor.rates) : ""),
      shareCell(actor.busy, "busy"), shareCell(actor.waiting, "waiting"),
      number(actor.queue), number(actor.version), number(actor.behind), number(actor.restarts),
      actor.memory_gib === null ? "–" : `${number(actor.memory_gib)} GiB`,
    ],
  }));
  at("actors").replaceChildren(rows.length ? table(heads, rows) : "No step has named its actors yet.");
}

function showCurves(curves) {
  const groups = [...new Set(curves.map(picture => picture.group))];
  at("curves").replaceChildren(...groups.flatMap(group => [
    element("h2", {}, group),
    element("div", {class: "figures"}, ...curves.filter(picture => picture.group === group).map(chart)),
  ]));
}

function showEvaluations(evaluations) {
  at("evaluated").hidden = evaluations.length === 0;
  const names = [...new Set(evaluations.flatMap(moment => moment.languages.map(found => found.name)))];
  const of = (moment, name) => moment.languages.find(found => found.name === name);
  const cell = found => found === undefined ? "–" : element("td", {}, percent(found.accuracy), element("small", {}, `in the language: ${percent(found.language_consistency)}`));
  const rows = names.map(name => ({cells: [name, ...evaluations.map(moment => cell(of(moment, name)))]}));
  at("evaluations").replaceChildren(evaluations.length ? table(["Accuracy", ...evaluations.map(moment => moment.moment)], rows) : "");
}

function showEvents(events, count) {
  const lines = events.map(event => element("li", {}, [event.step === null ? "" : `step ${event.step}`, event.kind, event.reason, event.detail].filter(Boolean).join(" · ")));
  at("events").replaceChildren(
    element("p", {class: "soft small"}, `${count} in all; the last ones first.`), element("ul", {class: "small"}, ...lines));
}

function labelled(label, text, code) {
  return element("div", {}, element("p", {class: "label"}, label), element("div", {class: "text", lang: code, dir: "auto"}, text || "(empty)"));
}

function showResponses(found) {
  const open = new Set([...document.querySelectorAll("#responses details[open]")].map(fold => fold.dataset.code));
  const isFirst = askedAfter === null;
  at("sampled").textContent = found.step === null ? "There are no responses yet." : `Step ${found.step}: of one problem in each language, the responses with the highest and the lowest reward.`;
  at("responses").replaceChildren(...Object.entries(found.languages).map(([code, group], index) => {
    const fold = element("details", {"data-code": code}, element("summary", {}, group.name),
      labelled("Question", group.question, code),
      element("div", {class: "beside"}, labelled("Reference of the pivot", group.reference, "en"),
        ...group.responses.map(response => element("div", {}, labelled(response.title, response.text, code),
          element("div", {class: "chips"}, ...response.chips.map(chip => element("span", chip.kind ? {class: chip.kind} : {}, chip.text)))))));
    fold.open = open.has(code) || (isFirst && index === 0);
    return fold;
  }));
}

function showHead(state) {
  document.title = `${state.run}: step ${state.step}`;
  at("run").textContent = state.run;
  at("steps").textContent = state.num_steps ? `Step ${state.step} of ${state.num_steps}` : `Step ${state.step}`;
  const ago = state.last_step_s === null ? "" : `last step ${duration(Math.max(0, state.now_s - state.last_step_s))} ago`;
  at("status").textContent = [state.status || "no end yet", ago].filter(Boolean).join(", ");
  at("bar").firstElementChild.style.width = state.num_steps ? `${Math.min(100, 100 * state.step / state.num_steps)}%` : "0";
  at("bar").setAttribute("aria-valuemax", state.num_steps || 0);
  at("bar").setAttribute("aria-valuenow", state.step);
  at("headline").hidden = !state.headline;
  at("headline").textContent = state.headline;
  at("headline").classList.toggle("worse", state.status.startsWith("failed"));
}

async function ask(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

async function refresh() {
  try {
    const state = await ask("/state.json");
    showHead(state);
    at("lanes").replaceChildren(state.lanes.length ? lanes(state.stages, state.lanes) : "No step is finished yet.");
    showActors(state.actors);
    showCurves(state.curves);
    showEvaluations(state.evaluations);
    showEvents(state.events, state.num_events);
    if (state.step !== askedAfter) {
      showResponses(await ask("/responses.json"));
      askedAfter = state.step;
    }
    at("trouble").hidden = state.num_unreadable === 0;
    at("trouble").textContent = `${state.num_unreadable} lines of metrics.jsonl and events.jsonl could not be read.`;
    document.body.dataset.shown = String(state.step);
  } catch (failure) {
    at("trouble").hidden = false;
    at("trouble").textContent = `No answer (${failure.message}). What is shown may be old.`;
  } finally {
    setTimeout(refresh, EVERY_MS);
  }
}

refresh();
