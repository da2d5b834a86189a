"""Our check of schemas ([SLA-9]) and PyPI's `jsonschema`: on the cases of the published suite that we support, on schemas and values
made by a seed, and on what is no schema at all; and `multipleOf` by decimals, where `jsonschema` counts in floating point."""

import decimal
import json
import os
import random
import subprocess

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from world import PATIENCE_SECONDS, check, equal, run

PROGRAM = os.environ["SCHEMA_PEER"]
FIXTURE = os.path.join(os.path.dirname(__file__), "../../fixtures/json-schema/draft2020-12.json")
SCHEMAS, VALUES, BROKEN = 600, 10, 800
SHOWN = 5  # differences that are told


def ours(questions):
    """What our program says of each (schema, values): its verdicts, or why the schema is refused."""
    lines = "".join(json.dumps({"schema": schema, "values": values}) + "\n" for schema, values in questions)
    done = subprocess.run([PROGRAM], input=lines, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    equal(done.returncode, 0, f"our program's exit status ({done.stderr[-300:]})")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    equal(len(answers), len(questions), "answers")
    check(not any("unread" in answer for answer in answers), f"unread: {[a for a in answers if 'unread' in a][:1]}")
    return answers


def theirs(schema, values):
    validator = Draft202012Validator(schema)
    return ["valid" if validator.is_valid(value) else "invalid" for value in values]


def is_schema(schema):
    try:
        Draft202012Validator.check_schema(schema)
        return True
    except SchemaError:
        return False


def none_differ(differences):
    check(not differences, f"{len(differences)} differ: " + "; ".join(json.dumps(one) for one in differences[:SHOWN]))


# Schemas and values by a seed

NAMES = ["a", "b", "c", "a/b", "m~n", "50%", "ü", "", "/\u0301"]
TEXTS = ["", "a", "ab", "abc", "é", "e\u0301", "🙂", "🙂🙂", "a\u0000b", "null"]
NUMBERS = [-3, -1, 0, 1, 2, 3, 7, 2**53 - 1, -0.5, 0.25, 0.5, 1.5, 2.5, 1.0, -2.0, 1e15, 3e-7]
TYPES = ["null", "boolean", "object", "array", "number", "string", "integer"]


def value(dice, depth=3):
    kind = dice.randrange(9 if depth else 6)
    if kind < 2:
        return dice.choice(NUMBERS)
    if kind == 2:
        return dice.choice([True, False])
    if kind == 3:
        return None
    if kind < 6:
        return dice.choice(TEXTS)
    if kind == 6:
        # Members that resemble each other, for uniqueItems and enum.
        return [dice.choice([0, 1, 1.0, False, True, "1", None, [1], [True], {"a": 1}, {"a": True}]) for _ in range(dice.randrange(4))]
    if kind == 7:
        return [value(dice, depth - 1) for _ in range(dice.randrange(4))]
    return {name: value(dice, depth - 1) for name in dice.sample(NAMES, dice.randrange(4))}


class Maker:
    """A schema of the keywords that we say we understand. A reference leads to a definition further on, or to the root below a
    member, so that each ends."""

    def __init__(self, dice):
        self.dice = dice
        self.definitions = dice.sample(NAMES, dice.randrange(4))

    def whole(self):
        schema = self.one(3, 0, rooted=True)
        while not isinstance(schema, dict):
            schema = self.one(3, 0, rooted=True)
        if self.definitions:
            place = self.dice.choice(["$defs", "definitions"])
            schema = json.loads(json.dumps(schema).replace("#/$defs/", f"#/{place}/"))
            made = {name: self.one(2, number + 1) for number, name in enumerate(self.definitions)}
            schema[place] = json.loads(json.dumps(made).replace("#/$defs/", f"#/{place}/"))
        return schema

    def one(self, depth, reach, rooted=False, below=False):
        """`reach`: the first definition that may be led to; `below`: a member or item, from which the root may be led to."""
        dice = self.dice
        if dice.random() < 0.08 and not rooted:
            return dice.choice([True, False])
        schema = {}
        for keyword in dice.sample(sorted(self.makers), dice.choice([1, 1, 2, 2, 3, 4])):
            if (keyword in self.nested) and depth == 0:
                continue
            made = self.makers[keyword](self, depth - 1, reach)
            if made is not None:
                schema[keyword] = made
        if below and dice.random() < 0.05:
            schema["$ref"] = "#"
        if dice.random() < 0.1:
            schema["title"], schema["format"], schema["x-other"] = "t", "email", [1]
        return schema

    def below(self, depth, reach):
        return self.one(depth, reach, below=True)

    def some(self, depth, reach):
        return [self.one(depth, reach) for _ in range(self.dice.randint(1, 3))]

    def named(self, depth, reach):
        return {name: self.below(depth, reach) for name in self.dice.sample(NAMES, self.dice.randint(0, 3))}

    def reference(self, depth, reach):
        if reach >= len(self.definitions):
            return None
        name = self.dice.choice(self.definitions[reach:])
        return "#/$defs/" + name.replace("~", "~0").replace("/", "~1").replace("%", "%25").replace("ü", "%C3%BC").replace("\u0301", "%CC%81")

    def number(self, depth, reach):
        return self.dice.choice(NUMBERS)

    def count(self, depth, reach):
        return self.dice.choice([0, 1, 2, 3, 1.0, 2.0])

    def names(self, depth, reach):
        return self.dice.sample(NAMES, self.dice.randint(0, 3))

    def types(self, depth, reach):
        return self.dice.choice([self.dice.choice(TYPES), self.dice.sample(TYPES, self.dice.randint(1, 3))])

    makers = {
        "$ref": reference, "type": types, "enum": lambda self, *_: [value(self.dice, 2) for _ in range(self.dice.randint(1, 5))],
        "const": lambda self, *_: value(self.dice, 2),
        # Exact in floating point too.
        "multipleOf": lambda self, *_: self.dice.choice([1, 2, 3, 0.5, 0.25, 1.0]),
        "maximum": number, "exclusiveMaximum": number, "minimum": number, "exclusiveMinimum": number,
        "maxLength": count, "minLength": count, "maxItems": count, "minItems": count, "maxProperties": count,
        "minProperties": count, "uniqueItems": lambda self, *_: self.dice.random() < 0.8,
        "prefixItems": lambda self, depth, reach: [self.below(depth, reach) for _ in range(self.dice.randint(1, 3))],
        "items": below, "contains": below, "maxContains": count, "minContains": count, "required": names,
        "properties": named, "additionalProperties": below, "propertyNames": one,
        "dependentRequired": lambda self, *_: {name: self.names(0, 0) for name in self.dice.sample(NAMES, self.dice.randint(0, 2))},
        "dependentSchemas": lambda self, depth, reach: {
            name: self.one(depth, reach) for name in self.dice.sample(NAMES, self.dice.randint(0, 2))
        },
        "allOf": some, "anyOf": some, "oneOf": some, "not": one, "if": one, "then": one, "else": one,
    }
    nested = {
        "prefixItems", "items", "contains", "properties", "additionalProperties", "propertyNames", "dependentSchemas",
        "allOf", "anyOf", "oneOf", "not", "if", "then", "else",
    }


def published():
    with open(FIXTURE) as file:
        groups = json.load(file)["groups"]
    answers = ours([(group["schema"], [case[0] for case in group["values"]]) for group in groups])
    cases, differences = 0, []
    for group, answer in zip(groups, answers):
        values, wanted = [case[0] for case in group["values"]], ["valid" if case[1] else "invalid" for case in group["values"]]
        found = theirs(group["schema"], values)
        cases += len(values)
        if not answer.get("verdicts") == found == wanted:
            differences.append([group["file"], group["about"], answer, found, wanted])
    none_differ(differences)
    return cases


def by_seed(dice):
    questions = []
    for _ in range(SCHEMAS):
        schema = Maker(dice).whole()
        check(is_schema(schema), f"the seed made no schema: {schema}")
        questions.append((schema, [value(dice) for _ in range(VALUES)]))
    counts, differences = {"valid": 0, "invalid": 0}, []
    for (schema, values), answer in zip(questions, ours(questions)):
        found = theirs(schema, values)
        for one, mine, other in zip(values, answer.get("verdicts", [answer] * len(values)), found):
            counts[other] += 1
            if mine != other:
                differences.append([schema, one, mine, other])
    none_differ(differences)
    return counts


def places(schema, found):
    """Every object within a schema that is a subschema, the whole one first."""
    for keyword, part in schema.items():
        named = keyword in ("properties", "dependentSchemas", "$defs", "definitions")
        parts = part.values() if named else part if isinstance(part, list) else [part] if keyword in Maker.nested else []
        for one in parts if named or keyword in Maker.nested else []:
            if isinstance(one, dict):
                found.append(one)
                places(one, found)
    return found


def broken(dice):
    """A keyword gets a value that may be none of its own: we read as a schema what the dialect's own schema takes, and nothing else."""
    odd = [
        None, True, -1, 0, 1.5, 2.0, "a", "string", [], ["a"], ["a", "b"], ["a", "a"], [1], [{}], ["string"], ["string", "null"],
        ["string", "string"], {}, {"a": 1}, {"a": ["b"]}, {"a": ["b", "b"]}, {"a": {}}, {"": True},
    ]
    keywords = sorted(set(Maker.makers) - {"$ref"})
    questions = []
    while len(questions) < BROKEN:
        schema = Maker(dice).whole()
        dice.choice(places(schema, [schema]))[dice.choice(keywords)] = dice.choice(odd)
        if "$ref" not in json.dumps(schema):  # where it leads may be gone
            questions.append((schema, [1]))
    counts, differences = [0, 0], []
    for (schema, _), answer in zip(questions, ours(questions)):
        takes = is_schema(schema)
        counts[takes] += 1
        if takes != ("verdicts" in answer):
            differences.append([schema, answer, "a schema" if takes else "none"])
    none_differ(differences)
    return counts


def by_decimals(dice):
    """Against Python's `decimal`: whether the number that is written is a multiple of the one that is written."""
    questions, wanted, context = [], [], decimal.Context(prec=400)
    for _ in range(400):
        divisor = f"{dice.randint(1, 999)}e-{dice.randint(0, 6)}"
        whole = decimal.Decimal(divisor) * dice.randint(0, 10_000)
        number = str(whole + decimal.Decimal(dice.choice([0, 0, 1])) / 10 ** dice.randint(1, 7))
        # As JSON's own numbers: both are read and written as the shortest text of a double.
        pair = [decimal.Decimal(repr(float(text))) for text in (number, divisor)]
        wanted.append("valid" if context.remainder(*pair) == 0 else "invalid")
        questions.append(({"multipleOf": float(divisor)}, [float(number)]))
    found = [answer["verdicts"][0] for answer in ours(questions)]
    none_differ([[q, f, w] for q, f, w in zip(questions, found, wanted) if f != w])
    other = [theirs(*question)[0] for question in questions]
    return wanted.count("valid"), sum(o != w for o, w in zip(other, wanted))


def checks(world):
    with world.step("jsonschema and our check agree with the published suite's cases of our keywords"):
        equal(published(), 900, "cases")
    with world.step(f"they agree on {SCHEMAS} schemas made by a seed, {VALUES} values each"):
        counts = by_seed(random.Random(2020_12))
        check(min(counts.values()) > SCHEMAS * VALUES // 10, f"too one-sided: {counts}")
    print(f"      {counts['valid']} valid, {counts['invalid']} not", flush=True)
    with world.step(f"what is no schema by the dialect's own we refuse, and nothing else: {BROKEN} with one keyword's value changed"):
        counts = broken(random.Random(77))
        check(min(counts) > BROKEN // 10, f"too one-sided: {counts}")
    print(f"      {counts[1]} schemas, {counts[0]} none", flush=True)
    with world.step("multipleOf goes by the decimals that are written, as Python's decimal does"):
        multiples, off = by_decimals(random.Random(3))
        check(50 < multiples < 350, f"too one-sided: {multiples} of 400")
    print(f"      {multiples} of 400 are multiples; jsonschema, which divides doubles, says otherwise of {off}", flush=True)


if __name__ == "__main__":
    run(checks)
