from sandbox import Sandbox


def test_the_last_expression_is_the_value(box: Sandbox) -> None:
    assert box.run("6 * 7").value == 42
