"""The console at a glance: which path is for whom, and who answers it. Who may look does not always act."""

from __future__ import annotations

from spark_actors.web.console import entry, keys, letters, looking, search, stories
from spark_actors.web.console.asking import CONSOLE
from spark_actors.web.pages import Audience, Link, Pages, Route

ANYBODY, READER, OPERATOR = Audience.ANYBODY, Audience.READER, Audience.OPERATOR
LETTER = f"{letters.LETTERS}/{{context}}/{{letter_id}}"
KEY = f"{keys.KEYS}/{{context}}/{{subscriber}}/{{instance:path}}"
SAGA = f"{stories.SAGAS}/{{kind}}/{{saga_id:path}}"

PAGES = Pages(
    routes=(
        Route("GET", entry.LOG_IN, ANYBODY, entry.log_in_form),
        Route("POST", entry.LOG_IN, ANYBODY, entry.log_in),
        Route("POST", f"{CONSOLE}/log-out", ANYBODY, entry.log_out),
        Route("GET", CONSOLE, READER, looking.overview, live="console/overview_live.html"),
        Route("GET", f"{CONSOLE}/dead-letters", READER, letters.groups, live="console/groups_live.html"),
        Route("GET", letters.LETTERS, READER, letters.letters),
        Route("POST", letters.LETTERS, OPERATOR, letters.act_on_letters),
        Route("GET", LETTER, READER, letters.letter),
        Route("POST", LETTER, OPERATOR, letters.act_on_letter),
        Route("GET", keys.KEYS, READER, keys.keys, live="console/keys_live.html"),
        Route("GET", KEY, READER, keys.key, live="console/key_live.html"),
        Route("POST", KEY, OPERATOR, keys.act_on_key),
        Route("GET", stories.SAGAS, READER, stories.sagas, live="console/sagas_live.html"),
        Route("GET", SAGA, READER, stories.story, live="console/story_live.html"),
        Route("GET", f"{CONSOLE}/search", READER, search.search),
        Route("GET", f"{CONSOLE}/contexts", READER, looking.contexts, live="console/contexts_live.html"),
        Route("GET", f"{CONSOLE}/nodes", READER, looking.nodes, live="console/nodes_live.html"),
        Route("GET", f"{CONSOLE}/tasks", READER, looking.tasks, live="console/tasks_live.html"),
        Route("GET", f"{CONSOLE}/actions", READER, looking.actions),
        Route("GET", f"{CONSOLE}/audit", READER, looking.books, live="console/audit_live.html"),
        Route("POST", f"{CONSOLE}/audit", READER, looking.run_audit),
    ),
    templates=__package__,
    menu=(Link("Console", CONSOLE, READER),),
    log_in=entry.LOG_IN,
)
