"use strict";
const byId = (id) => document.getElementById(id);
const sheet = document.body.dataset.sheet;
const sections = [...document.querySelectorAll("section")];
const questions = new Map(sections.map((section) => [section,
    [...section.querySelectorAll("fieldset")].map((fieldset) => fieldset.id)]));

// All pages opened from files may share one store: what is kept bears the sheet's name.
const key = "ratings " + sheet;
let state = { rater: "", answers: {} };
let shown = 0;
let unsaved = false;

function keep() {
    try {
        localStorage.setItem(key, JSON.stringify(state));
    } catch {
        byId("forgetful").hidden = false;
    }
}

function recall() {
    try {
        state = JSON.parse(localStorage.getItem(key)) ?? state;
    } catch {
        byId("forgetful").hidden = false;
    }
    byId("rater").value = state.rater;
    for (const [name, value] of Object.entries(state.answers)) mark(name, value);
}

function mark(name, value) {
    byId(`${name}.${value}`).checked = true;
    byId(name).classList.add("answered");
}

const isUnanswered = (name) => !(name in state.answers);
const isDone = (section) => !questions.get(section).some(isUnanswered);

function tell() {
    const done = sections.filter(isDone).length;
    const all = done === sections.length ? ": save the ratings and send the file back" : "";
    byId("progress").textContent = `${done} of ${sections.length} done${all}`;
    byId("place").textContent = `Text ${shown + 1}`;
    byId("back").disabled = shown === 0;
    byId("next").disabled = shown === sections.length - 1;
    byId("unanswered").disabled = all !== "";
}

function show(number) {
    if (number < 0 || number >= sections.length) return;
    sections[shown].hidden = true;
    shown = number;
    sections[shown].hidden = false;
    tell();
    focus(questions.get(sections[shown]).find(isUnanswered) ?? questions.get(sections[shown])[0]);
    sections[shown].scrollIntoView();
}

function showUnanswered() {
    const later = sections.findIndex((section, number) => number > shown && !isDone(section));
    show(later >= 0 ? later : sections.findIndex((section) => !isDone(section)));
}

// To the question's answer, or its first choice, so that keys go on from there.
function focus(name) {
    const choices = [...byId(name).querySelectorAll("input")];
    (choices.find((choice) => choice.checked) ?? choices[0]).focus({ preventScroll: true });
    byId(name).scrollIntoView({ block: "nearest" });
}

function answer(input) {
    state.answers[input.name] = Number(input.value) || input.value;
    unsaved = true;
    mark(input.name, input.value);
    keep();
    tell();
}

function press(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || event.target.type === "text") return;
    if (event.key === "Enter" && event.target.tagName !== "BUTTON") {
        event.preventDefault();
        show(shown + (event.shiftKey ? -1 : 1));
    }
    const names = questions.get(sections[shown]);
    const name = names.includes(event.target.name) ? event.target.name : names.find(isUnanswered);
    const choice = name && byId(`${name}.${event.key.toUpperCase()}`);
    if (choice) {
        event.preventDefault();
        choice.checked = true;
        answer(choice);
        focus(names[names.indexOf(name) + 1] ?? name);
    }
}

function save() {
    state.rater = byId("rater").value.trim();
    if (!state.rater) {
        byId("rater").focus();
        alert("Please write your name first: it tells your ratings from those of others.");
        return;
    }
    const text = JSON.stringify({ sheet, ...state }, null, 1) + "\n";
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    link.download = `ratings-${state.rater.replace(/[^\p{L}\p{N}]+/gu, "-")}.json`;
    link.click();
    unsaved = false;
}

function clear() {
    if (!confirm("Forget your name and all of your answers on this page?")) return;
    state = { rater: "", answers: {} };
    keep();
    unsaved = false;
    location.reload();
}

recall();
document.addEventListener("change", (event) => event.target.type === "radio" && answer(event.target));
document.addEventListener("keydown", press);
byId("rater").addEventListener("input", () => { state.rater = byId("rater").value; keep(); });
byId("save").addEventListener("click", save);
byId("clear").addEventListener("click", clear);
byId("back").addEventListener("click", () => show(shown - 1));
byId("next").addEventListener("click", () => show(shown + 1));
byId("unanswered").addEventListener("click", showUnanswered);
// What is kept outlives the page; where nothing can be kept, leaving loses answers.
window.addEventListener("beforeunload", (event) => {
    if (unsaved && !byId("forgetful").hidden) event.preventDefault();
});
keep();
show(Math.max(0, sections.findIndex((section) => !isDone(section))));
window.scrollTo(0, 0);
