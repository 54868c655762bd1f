# SPDX-License-Identifier: Apache-2.0
"""Log lines of a task: ten go with the result, the rest after it, none empty, in order."""

import conductor
import harness


class Logs(conductor.Case):
    def lines_of(self, n):
        return [f"line {number}" for number in range(n) if number % 5]

    def stored(self, task_id, n, source=None):
        """The task's lines at the server, once as many are there."""
        def look():
            found = [line for entry in self.api.log(task_id) for line in entry.split("\n")]
            return found if len(found) >= n else None
        return harness.eventually(look, f"{n} log lines")

    def test_few_lines_go_with_the_result(self):
        name = self.api.define()
        self.daemon(conductor.pool(name))
        [task] = self.api.run(name, {"logs": 10})["tasks"]
        self.assertEqual(self.api.log(task["taskId"]), self.lines_of(10))

    def test_many_lines_all_arrive_in_order(self):
        name = self.api.define()
        self.daemon(conductor.pool(name))
        [task] = self.api.run(name, {"logs": 300})["tasks"]
        lines = self.lines_of(300)
        self.assertEqual(self.stored(task["taskId"], len(lines)), lines)
        for entry in self.api.call("GET", f"/tasks/{task['taskId']}/log"):
            self.assertNotEqual(entry["log"].strip(), "")
            self.assertGreater(entry.get("createdTime", 0), 0, "without its time an entry is sorted first")

    def test_only_empty_lines(self):
        """A null or missing text would leave the result half stored, the workflow hanging."""
        name = self.api.define()
        self.daemon(conductor.pool(name))
        empty = ["", {"log": ""}, {"log": None}, {}, None, "\n"]
        [task] = self.api.run(name, {"result": {"logs": empty}})["tasks"]
        self.assertNotIn("", self.api.log(task["taskId"]))

    def test_lines_of_a_task_that_is_put_back_or_fails(self):
        name = self.api.define()
        self.daemon(conductor.pool(name))
        order = {"first": {"status": "FAILED", "logs": ["one", "two"]}, "result": {"logs": ["three"]}}
        first, second = self.api.run(name, order)["tasks"]
        self.assertEqual(self.stored(first["taskId"], 2), ["one", "two"])
        self.assertEqual(self.stored(second["taskId"], 1), ["three"])
        order = {"first": {"status": "IN_PROGRESS", "logs": [f"{n}" for n in range(15)]}, "result": {"logs": ["last"]}}
        [task] = self.api.run(name, order)["tasks"]
        self.assertEqual(self.stored(task["taskId"], 16), [f"{n}" for n in range(15)] + ["last"])

    def test_odd_lines(self):
        name = self.api.define()
        self.daemon(conductor.pool(name))
        lines = ["a\0b", "x" * 100_000, "ünï \"quoted\" \\", "{\"json\": 1}"] + ["filler"] * 8 + ["c\0d", "ende ü"]
        [task] = self.api.run(name, {"result": {"logs": lines}})["tasks"]
        stored = self.stored(task["taskId"], len(lines))
        self.assertEqual([line.replace("\0", "") for line in stored], stored)
        self.assertEqual(stored[1:12], lines[1:12])
        self.assertEqual(stored[-1], "ende ü")


if __name__ == "__main__":
    harness.main()
