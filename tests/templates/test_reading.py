"""Go's templates: what docker's users write after --format."""

import pytest

from nbcontainers.cli import formats
from nbcontainers.templates import TemplateError, parse

VALUE = {
    "Name": "/web",
    "State": {"Running": True, "Pid": 3, "Error": ""},
    "Networks": {"a": {"IP": "10.0.0.2"}, "b": {"IP": "10.0.1.2"}},
    "Labels": {"com.x/y": "y z"},
    "Args": ["p", "q"],
    "Nothing": None,
    "Share": 0.5,
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{.Name}} runs: {{.State.Running}}", "/web runs: true"),
        ("{{range .Networks}}{{.IP}} {{end}}", "10.0.0.2 10.0.1.2 "),
        ("{{range $name, $it := .Networks}}{{$name}}={{$it.IP}};{{end}}", "a=10.0.0.2;b=10.0.1.2;"),
        ("{{range $i, $e := .Args}}{{if $i}}, {{end}}{{$e}}{{else}}none{{end}}", "p, q"),
        ("{{range .Nothing}}x{{else}}none{{end}}", "none"),
        ('{{index .Labels "com.x/y" | upper}}', "Y Z"),
        ('{{index .Labels "missing"}}.', "."),
        ('{{(index .Networks "a").IP}}', "10.0.0.2"),
        ("{{json .State}}", '{"Running":true,"Pid":3,"Error":""}'),
        ("{{.Labels}} {{.Args}} {{.Nothing}} {{.Share}}", "map[com.x/y:y z] [p q] <no value> 0.5"),
        ("{{if eq .State.Pid 3 4}}yes{{else}}no{{end}}", "yes"),
        ("{{if and .State.Running (not .State.Error)}}fine{{end}}", "fine"),
        ("{{if .Nothing}}a{{else if .Args}}b{{else}}c{{end}}", "b"),
        ("{{with .State}}{{.Pid}}{{end}}{{with .Nothing}}x{{end}}", "3"),
        ("a {{- /* nothing */ -}} b", "ab"),
        ("a {{- .Share -}} b", "a0.5b"),
        ('{{printf "%-6s|%03d|%q|%v|%%" .Name .State.Pid .Name .Args}}', '/web  |003|"/web"|[p q]|%'),
        ('{{$n := len .Args}}{{$n}} {{join .Args ","}} {{println "x" 1}}', "2 p,q x 1\n"),
        (
            '{{split "a:b" ":"}} {{title "abc"}} {{lower `AB`}} {{truncate .Name 2}} {{pad "x" 1 2}}',
            "[a b] Abc ab /w  x  ",
        ),
        ("{{slice .Name 1}}{{$.Share}}", "web0.5"),
        ("{{if lt 1 2}}{{if ge 2 2}}{{if ne 1 2}}in order{{end}}{{end}}{{end}}", "in order"),
    ],
)
def test_what_templates_say(template: str, text: str) -> None:
    assert parse(template).render(VALUE) == text


@pytest.mark.parametrize(
    ("template", "complaint"),
    [
        ("{{.Nope}}", 'no entry for key "Nope"; there are: Name, State'),
        ("{{nope .Name}}", 'function "nope" not defined'),
        ("{{.Name", "unclosed action"),
        ("{{if .Name}}x", "has no {{end}}"),
        ("{{end}}", "unexpected {{end}}"),
        ("{{.Name.Deeper}}", "can't evaluate field Deeper"),
        ("{{$x}}", 'undefined variable "\\$x"'),
        ("{{range .Share}}{{end}}", "can't iterate over 0.5"),
        ("{{len .Share}}", "error calling len"),
        ("{{.Name | 3}}", "unexpected '3'"),
        ("{{(.Name}}", "unexpected 'end'"),
        ("{{.Name ?}}", "unexpected ' \\?'"),
        ("{{.Name 3}}", "cannot be called"),
        ("{{upper 3}}", "error calling upper"),
        ('{{"\\q"}}', "invalid syntax in"),
        ('{{printf "%9999999d" 1}}', "wider than"),
        ("{{pad .Name 9999999 1}}", "wider than"),
        (f"{{{{{'(' * 5000}1{')' * 5000}}}}}", "nested too deeply"),
        (f"{'{{if 1}}' * 3000}{'{{end}}' * 3000}", "nested too deeply"),
    ],
)
def test_what_is_wrong_with_a_template_is_said(template: str, complaint: str) -> None:
    with pytest.raises(TemplateError, match=complaint):
        parse(template).render(VALUE)


ROWS = [{"ID": "1", "Names": "web", "Label": {"a": "x"}.get}, {"ID": "22", "Names": "db", "Label": {}.get}]


def test_rows_have_a_line_each() -> None:
    assert formats.formatted(ROWS, "{{.ID}}:{{.Names}}", "CONTAINER ID") == "1:web\n22:db"
    assert formats.formatted(ROWS, "json", "CONTAINER ID") == '{"ID":"1","Names":"web"}\n{"ID":"22","Names":"db"}'
    assert formats.formatted(ROWS, '{{.Label "a"}}', "CONTAINER ID") == "x\n<no value>"
    assert formats.formatted([], "{{.ID}}", "CONTAINER ID") == ""


def test_tables_are_aligned_under_dockers_headings() -> None:
    table = formats.formatted(ROWS, r"table {{.Names}}\t{{.ID}}", "CONTAINER ID")
    assert table == "NAMES   CONTAINER ID\nweb     1\ndb      22"
    assert formats.formatted([], "table {{.RunningFor}}", "CONTAINER ID") == "CREATED"
