"""PostgreSQL as the library uses it, besides the SQL on its own tables.

`sessions` opens connections of their own, apart from every pool; `notify` sends notifications
after the commit and hears them; `leadership` lets one of several processes work. `day_partitions`
and `partition_maintenance` make and drop the partitions of a table by day. `table_details` and
`table_groups` create, version and check the library's tables, without knowing which there are.
Nothing here holds a transaction open, and a notification that is lost costs time, never an event.
"""
