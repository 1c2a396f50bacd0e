#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""table.py MESHSHIM-CHECK FILE: questions to --explain --format json, one line each.

    # a comment, as a rule with the section of the reference that the rows are of
    @rules FILE...                   the rule files of the lines that follow
    ARGUMENTS => KEY=VALUE ...       both sides are split as a shell does

A KEY is a path into the answer ("request.target", "destinations.0.tls.sni"); "headers.NAME" is the
list of values of a request's header field, joined with "|". VALUE is the text of what is there;
null, true and false stand for themselves. Last line: "N passed, N failed".
"""
import json
import shlex
import subprocess
import sys


def look_up(answer, key):
    if key.startswith("headers."):
        name = key[len("headers."):].lower()
        return "|".join(v for k, v in answer["request"]["headers"] if k.lower() == name)
    for part in key.split("."):
        if part == "length":
            return len(answer)
        answer = answer[int(part)] if isinstance(answer, list) else answer[part]
    return answer


def text_of(value):
    return value if isinstance(value, str) else json.dumps(value)


def ask(check, rules, arguments):
    command = [check, "-q", "--format", "json", "--explain", *shlex.split(arguments), *rules]
    run = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    return json.loads(run.stdout)


def main(check, path):
    passed = failed = 0
    rules = []
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            if line.startswith("@rules "):
                rules = line.split()[1:]
                continue
            arguments, wanted = line.split(" => ")
            try:
                answer = ask(check, rules, arguments)
                wrong = [f"{key} is {text_of(look_up(answer, key))!r}, not {value!r}"
                         for key, value in (pair.split("=", 1) for pair in shlex.split(wanted))
                         if text_of(look_up(answer, key)) != value]
            except (ValueError, LookupError, TypeError) as error:
                wrong = [repr(error)]
            passed += not wrong
            failed += bool(wrong)
            for what in wrong:
                print(f"FAIL {path}:{number}: {arguments}: {what}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
