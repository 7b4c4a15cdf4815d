/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what a real QEMU calls things: asks the one that is installed ($QEMU names another). */

#include "vocabulary.h"

#include <gio/gio.h>

/* What QEMU answers to query-qmp-schema. It is not told to quit before it has been read: QEMU drops
 * what it has not written yet when it quits. */
static char *
ask (GSubprocess *process)
{
  static const char questions[] = "{\"execute\": \"qmp_capabilities\"}\n"
                                  "{\"execute\": \"query-qmp-schema\"}\n";
  GOutputStream *input = g_subprocess_get_stdin_pipe (process);
  g_autoptr (GDataInputStream) output =
    g_data_input_stream_new (g_subprocess_get_stdout_pipe (process));
  g_autoptr (GError) error = NULL;
  char *line = NULL;

  if (!g_output_stream_write_all (input, questions, sizeof questions - 1, NULL, NULL, &error))
    g_error ("cannot ask QEMU for its schema: %s", error->message);
  /* The greeting, the answer to the negotiation, the schema. */
  for (guint i = 0; i < 3; i++)
    {
      g_free (line);
      line = g_data_input_stream_read_line_utf8 (output, NULL, NULL, &error);
      if (line == NULL)
        g_error ("QEMU does not tell its schema: %s",
                 error != NULL ? error->message : "it has ended");
    }
  return line;
}

/* Schema entries by name; NULL where no QEMU is installed. */
static GHashTable *
read_schema (void)
{
  const char *qemu = g_getenv ("QEMU");
  g_autoptr (GSubprocess) process = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *line = NULL;
  g_autoptr (JsonNode) answer = NULL;
  GHashTable *schema;
  JsonArray *entries;

  process = g_subprocess_new (G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE,
                              &error, qemu != NULL ? qemu : "qemu-system-x86_64", "-nodefaults",
                              "-machine", "none", "-display", "none", "-qmp", "stdio", NULL);
  if (process == NULL)
    {
      g_test_message ("names are not checked: %s", error->message);
      return NULL;
    }
  line = ask (process);
  g_subprocess_force_exit (process);
  answer = json_from_string (line, &error);
  g_assert_no_error (error);

  schema = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                  (GDestroyNotify) json_object_unref);
  entries = json_object_get_array_member (json_node_get_object (answer), "return");
  for (guint i = 0; i < json_array_get_length (entries); i++)
    {
      JsonObject *entry = json_array_get_object_element (entries, i);

      g_hash_table_insert (schema, g_strdup (json_object_get_string_member (entry, "name")),
                           json_object_ref (entry));
    }
  return schema;
}

/* Read once, as QEMU takes a tenth of a second to say it. */
static GHashTable *
get_schema (void)
{
  static gsize once;
  static GHashTable *schema;

  if (g_once_init_enter (&once))
    {
      schema = read_schema ();
      g_once_init_leave (&once, 1);
    }
  return schema;
}

static JsonObject *
find (const char *name,
      const char *meta_type)
{
  JsonObject *entry = g_hash_table_lookup (get_schema (), name);

  if (entry == NULL || g_strcmp0 (json_object_get_string_member (entry, "meta-type"), meta_type))
    return NULL;
  return entry;
}

/* The type of @member in the object type @type, also in what its variants add; NULL if none. */
static const char *
find_member (const char *type,
             const char *member)
{
  JsonObject *object = find (type, "object");
  JsonArray *list;

  if (object == NULL)
    return NULL;

  list = json_object_get_array_member (object, "members");
  for (guint i = 0; i < json_array_get_length (list); i++)
    {
      JsonObject *each = json_array_get_object_element (list, i);

      if (g_str_equal (json_object_get_string_member (each, "name"), member))
        return json_object_get_string_member (each, "type");
    }

  if (!json_object_has_member (object, "variants"))
    return NULL;
  list = json_object_get_array_member (object, "variants");
  for (guint i = 0; i < json_array_get_length (list); i++)
    {
      JsonObject *each = json_array_get_object_element (list, i);
      const char *found = find_member (json_object_get_string_member (each, "type"), member);

      if (found != NULL)
        return found;
    }
  return NULL;
}

static void check_value (const char *subject,
                         const char *type,
                         JsonNode   *value);

static void
check_members (const char *subject,
               const char *type,
               JsonObject *value)
{
  JsonObjectIter iter;
  const char *member;
  JsonNode *node;

  json_object_iter_init_ordered (&iter, value);
  while (json_object_iter_next_ordered (&iter, &member, &node))
    {
      const char *found = find_member (type, member);

      if (found == NULL)
        g_error ("a real QEMU knows no \"%s\" in %s", member, subject);
      check_value (subject, found, node);
    }
}

static void
check_value (const char *subject,
             const char *type,
             JsonNode   *value)
{
  if (JSON_NODE_HOLDS_OBJECT (value) && find (type, "object") != NULL)
    check_members (subject, type, json_node_get_object (value));

  if (JSON_NODE_HOLDS_ARRAY (value) && find (type, "array") != NULL)
    {
      JsonArray *array = json_node_get_array (value);
      const char *element = json_object_get_string_member (find (type, "array"), "element-type");

      for (guint i = 0; i < json_array_get_length (array); i++)
        check_value (subject, element, json_array_get_element (array, i));
    }
}

void
vocabulary_check_command (const char *command,
                          JsonNode   *arguments)
{
  JsonObject *entry;

  if (get_schema () == NULL)
    return;
  entry = find (command, "command");
  if (entry == NULL)
    g_error ("a real QEMU knows no command \"%s\"", command);
  if (arguments != NULL)
    check_value (command, json_object_get_string_member (entry, "arg-type"), arguments);
}

void
vocabulary_check_unknown (const char *command)
{
  if (get_schema () != NULL && find (command, "command") != NULL)
    g_error ("a real QEMU knows \"%s\"", command);
}

void
vocabulary_check_event (const char *name,
                        JsonNode   *data)
{
  JsonObject *entry;

  if (get_schema () == NULL)
    return;
  entry = find (name, "event");
  if (entry == NULL)
    g_error ("a real QEMU knows no event \"%s\"", name);
  if (data != NULL)
    check_value (name, json_object_get_string_member (entry, "arg-type"), data);
}
