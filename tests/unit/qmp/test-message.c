/* SPDX-License-Identifier: Apache-2.0 */

/* What is taken for JSON and for QMP, and what is not. */

#include <string.h>

#include <gio/gio.h>
#include <qmp/error.h>

#include "message.h"
#include "peer.h"

static QmpSpan
span (const char *text)
{
  return (QmpSpan) { text, strlen (text) };
}

/* The value of "return" in {"return": @value}; NULL with an error. */
static JsonNode *
read_value (const char  *value,
            GError     **error)
{
  g_autofree char *line = g_strdup_printf ("{\"return\": %s}", value);
  QmpMessage message;

  if (!qmp_message_read (&message, span (line), error))
    return NULL;
  g_assert_cmpint (message.kind, ==, QMP_MESSAGE_RETURN);
  return qmp_json_build (message.body);
}

static void
test_accepts (void)
{
  static const struct
  {
    const char *text;
    const char *same;           /* written again */
  } cases[] = {
    { "{}", "{}" },
    { "[]", "[]" },
    { " [ 1 ,\t2 ] ", "[1, 2]" },
    { "[true, false, null]", "[true, false, null]" },
    { "{\"a\": {\"b\": [{}]}, \"c\": 1}", "{\"a\": {\"b\": [{}]}, \"c\": 1}" },
    { "{\"a\": 1, \"a\": 2}", "{\"a\": 2}" },
    { "0", "0" },
    { "-0", "0" },
    { "-1", "-1" },
    { "9223372036854775807", "9223372036854775807" },
    { "-9223372036854775808", "-9223372036854775808" },
    { "18446744073709551615", "-1" },
    { "18446744073709551616", "1.8446744073709552e+19" },
    { "1.5", "1.5" },
    { "-1.5e3", "-1500" },
    { "1E+2", "100" },
    { "1e-400", "0" },
    { "\"\"", "\"\"" },
    { "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\\"\\\\/\\u0008\\u000c\\u000a\\u000d\\u0009\"" },
    { "\"\\u00e9\\u20ac\\ud83d\\ude00\"", "\"\u00e9\u20ac\U0001f600\"" },
    { "\"\u00e9\u20ac\U0001f600\U0010ffff\"", "\"\u00e9\u20ac\U0001f600\U0010ffff\"" },
    { "\"\x7f\"", "\"\x7f\"" },
    /* Half a pair, the wrong way round, two first halves, and what no C string can hold. */
    { "\"\\ud83dx\"", "\"\ufffdx\"" },
    { "\"\\ude00\"", "\"\ufffd\"" },
    { "\"\\ude00\\ud83d\"", "\"\ufffd\ufffd\"" },
    { "\"\\ud83d\\ud83d\\ude00\"", "\"\ufffd\U0001f600\"" },
    { "\"\\ud83d\\n\"", "\"\ufffd\\u000a\"" },
    { "\"a\\u0000b\"", "\"a\ufffdb\"" },
    { "{\"\\u0061\\n\": 1}", "{\"a\\u000a\": 1}" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (JsonNode) value = read_value (cases[i].text, &error);
      g_autofree char *text = NULL;

      g_assert_no_error (error);
      text = qmp_json_to_text (value);
      g_assert_cmpstr (text, ==, cases[i].same);
    }
}

static void
test_numbers_keep_their_type (void)
{
  static const struct
  {
    const char *text;
    GType       type;
    guint64     bits;
  } cases[] = {
    { "9223372036854775807", G_TYPE_INT64, G_MAXINT64 },
    { "9223372036854775808", G_TYPE_INT64, (guint64) G_MAXINT64 + 1 },
    { "18446744073709551615", G_TYPE_INT64, G_MAXUINT64 },
    { "18446744073709551616", G_TYPE_DOUBLE, 0 },
    { "-9223372036854775809", G_TYPE_DOUBLE, 0 },
    { "1.0", G_TYPE_DOUBLE, 0 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (JsonNode) value = read_value (cases[i].text, &error);

      g_assert_no_error (error);
      g_assert_cmpstr (g_type_name (json_node_get_value_type (value)), ==,
                       g_type_name (cases[i].type));
      if (cases[i].type == G_TYPE_INT64)
        g_assert_cmpuint ((guint64) json_node_get_int (value), ==, cases[i].bits);
    }
}

static void
test_refuses (void)
{
  static const struct
  {
    const char *text;
    const char *reason;
  } cases[] = {
    { "", "expected an object" },
    { "[]", "expected an object" },
    { "null", "expected an object" },
    { "{", "expected a name" },
    { "{\"return\"", "expected ':'" },
    { "{\"return\":", "ends too early" },
    { "{\"return\": 1", "expected ',' or '}'" },
    { "{\"return\": 1,", "expected a name" },
    { "{\"return\": 1,}", "expected a name" },
    { "{\"return\": 1} {}", "something follows" },
    { "{\"return\": 1}}", "something follows" },
    { "{return: 1}", "expected a name" },
    { "{'return': 1}", "expected a name" },
    { "{\"return\": 'a'}", "expected a value" },
    { "{\"return\": [1,]}", "expected a value" },
    { "{\"return\": [1 2]}", "expected ',' or ']'" },
    { "{\"return\": [,]}", "expected a value" },
    { "{\"return\": /* x */ 1}", "expected a value" },
    { "{\"return\": 1} // x", "something follows" },
    { "{\"return\": bare}", "expected a value" },
    { "{\"return\": True}", "expected a value" },
    { "{\"return\": nul}", "expected a value" },
    { "{\"return\": nulls}", "expected ',' or '}'" },
    { "{\"return\": NaN}", "expected a value" },
    { "{\"return\": Infinity}", "expected a value" },
    { "{\"return\": 01}", "starts with 0" },
    { "{\"return\": +1}", "expected a value" },
    { "{\"return\": -}", "expected a digit" },
    { "{\"return\": .5}", "expected a value" },
    { "{\"return\": 1.}", "expected a digit" },
    { "{\"return\": 1e}", "expected a digit" },
    { "{\"return\": 1e+}", "expected a digit" },
    { "{\"return\": 0x10}", "expected ',' or '}'" },
    { "{\"return\": 1e999}", "out of range" },
    { "{\"return\": \"a}", "ends inside a string" },
    { "{\"return\": \"a\\", "ends inside a string" },
    { "{\"return\": \"\\x\"}", "unknown escape" },
    { "{\"return\": \"\\u12g4\"}", "four hexadecimal digits" },
    { "{\"return\": \"\\ud83d\\u12\"}", "four hexadecimal digits" },
    { "{\"return\": \"a\tb\"}", "control character" },
    { "{\"return\": \"\x80\"}", "invalid UTF-8" },
    { "{\"return\": \"\xc3\"}", "invalid UTF-8" },
    { "{\"return\": \"\xc0\xaf\"}", "invalid UTF-8" },
    { "{\"return\": \"\xe0\x80\xaf\"}", "invalid UTF-8" },
    { "{\"return\": \"\xed\xa0\x80\"}", "invalid UTF-8" },
    { "{\"return\": \"\xf0\x80\x80\xaf\"}", "invalid UTF-8" },
    { "{\"return\": \"\xf4\x90\x80\x80\"}", "invalid UTF-8" },
    { "{\"return\": \"\xff\"}", "invalid UTF-8" },
    { "{\"\xff\": 1}", "invalid UTF-8" },
    { "\xef\xbb\xbf{\"return\": 1}", "expected an object" },
    { "{}", "neither greeting, answer nor event" },
    { "{\"id\": 1}", "neither greeting, answer nor event" },
    { "{\"error\": \"text\"}", "neither greeting, answer nor event" },
    { "{\"event\": 1}", "neither greeting, answer nor event" },
    { "{\"event\": \"STOP\", \"data\": []}", "neither greeting, answer nor event" },
    { "{\"QMP\": []}", "neither greeting, answer nor event" },
    { "{\"return\": 1, \"error\": {}}", "two answers" },
    { "{\"return\": 1, \"return\": 2}", "two answers" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GError) error = NULL;
      QmpMessage message;

      g_assert_false (qmp_message_read (&message, span (cases[i].text), &error));
      g_assert_error (error, QMP_ERROR, QMP_ERROR_PROTOCOL);
      if (strstr (error->message, cases[i].reason) == NULL)
        g_error ("%s: \"%s\" expected, not \"%s\"", cases[i].text, cases[i].reason,
                 error->message);
    }
}

/* A NUL is no space, and no end. */
static void
test_refuses_nul (void)
{
  static const char text[] = "{\"return\": \"a\0b\"}";
  static const char behind[] = "{\"return\": 1}\0";
  g_autoptr (GError) error = NULL;
  QmpMessage message;

  g_assert_false (qmp_message_read (&message, (QmpSpan) { text, sizeof text - 1 }, &error));
  g_assert_nonnull (strstr (error->message, "control character"));
  g_clear_error (&error);
  g_assert_false (qmp_message_read (&message, (QmpSpan) { behind, sizeof behind - 1 }, &error));
  g_assert_error (error, QMP_ERROR, QMP_ERROR_PROTOCOL);
}

/* No prefix of a message is a message, and none is read beyond its end. */
static void
test_every_prefix (void)
{
  static const char text[] =
    "{\"return\": [{\"a\": -1.5e+3, \"\\u00e9\\ud83d\\ude00\": \"\u20ac\"}, true, null], "
    "\"id\": 7}";

  for (gsize length = 0; length < sizeof text - 1; length++)
    {
      g_autofree char *copy = g_memdup2 (text, MAX (length, 1));
      g_autoptr (GError) error = NULL;
      QmpMessage message;

      g_assert_false (qmp_message_read (&message, (QmpSpan) { copy, length }, &error));
      g_assert_error (error, QMP_ERROR, QMP_ERROR_PROTOCOL);
    }
}

static char *
repeat (const char *opening,
        const char *middle,
        const char *closing,
        guint       times)
{
  GString *text = g_string_new (NULL);

  for (guint i = 0; i < times; i++)
    g_string_append (text, opening);
  g_string_append (text, middle);
  for (guint i = 0; i < times; i++)
    g_string_append (text, closing);
  return g_string_free (text, FALSE);
}

static void
test_bounds (void)
{
  g_autofree char *deepest = repeat ("[", "1", "]", QMP_JSON_DEPTH_MAX - 1);
  g_autofree char *too_deep = repeat ("{\"a\":", "1", "}", QMP_JSON_DEPTH_MAX);
  g_autofree char *abyss = repeat ("[", "", "]", 1000000);
  g_autofree char *most = repeat ("1,", "1", "", QMP_JSON_VALUES_MAX - 3);
  g_autofree char *members = repeat ("\"a\":1,", "\"b\":1", "", QMP_JSON_MEMBERS_MAX);
  g_autofree char *most_list = g_strdup_printf ("[%s]", most);
  g_autofree char *too_many = g_strdup_printf ("[1,1,%s]", most);
  g_autofree char *too_many_members = g_strdup_printf ("{%s}", members);
  g_autofree char *digits = repeat ("9", "", "", 300);
  g_autofree char *too_many_digits = repeat ("9", "", "", 400);
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonNode) value = NULL;

  value = read_value (deepest, &error);
  g_assert_no_error (error);
  json_node_unref (value);
  value = read_value (most_list, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (json_array_get_length (json_node_get_array (value)), ==,
                    QMP_JSON_VALUES_MAX - 2);
  json_node_unref (value);
  value = read_value (digits, &error);
  g_assert_no_error (error);
  g_assert_cmpfloat (json_node_get_double (value), >, 9e299);
  json_node_unref (value);

  value = read_value (too_deep, &error);
  g_assert_error (error, QMP_ERROR, QMP_ERROR_PROTOCOL);
  g_assert_nonnull (strstr (error->message, "1024 deep"));
  g_clear_error (&error);
  value = read_value (abyss, &error);
  g_assert_error (error, QMP_ERROR, QMP_ERROR_PROTOCOL);
  g_clear_error (&error);
  value = read_value (too_many, &error);
  g_assert_error (error, QMP_ERROR, QMP_ERROR_PROTOCOL);
  g_assert_nonnull (strstr (error->message, "million values"));
  g_clear_error (&error);
  value = read_value (too_many_members, &error);
  g_assert_error (error, QMP_ERROR, QMP_ERROR_PROTOCOL);
  g_assert_nonnull (strstr (error->message, "1024 members"));
  g_clear_error (&error);
  value = read_value (too_many_digits, &error);
  g_assert_error (error, QMP_ERROR, QMP_ERROR_PROTOCOL);
  g_assert_nonnull (strstr (error->message, "out of range"));
  g_assert_null (value);
}

static void
test_quotes_garbage (void)
{
  g_autofree char *flood = g_strnfill (5000, 'x');
  g_autoptr (GError) error = NULL;
  QmpMessage message;

  g_assert_false (qmp_message_read (&message, span ("HTTP/1.1 400\a\xff \"quoted\""), &error));
  g_assert_cmpstr (error->message, ==, "not QMP: expected an object at byte 0 of "
                   "\"HTTP/1.1 400\\x07\\xff \"quoted\"\"");
  g_clear_error (&error);

  g_assert_false (qmp_message_read (&message, span (flood), &error));
  g_assert_cmpuint (strlen (error->message), <, 250);
  g_assert_nonnull (strstr (error->message, "xxx... (5000 bytes)"));
}

static void
test_shapes (void)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *version = NULL;
  gboolean oob = FALSE;
  QmpMessage message;
  guint64 id = 0;

  g_assert_true (qmp_message_read (&message, span (PEER_GREETING), &error));
  g_assert_cmpint (message.kind, ==, QMP_MESSAGE_GREETING);
  g_assert_true (qmp_message_get_greeting (&message, &version, &oob, &error));
  g_assert_cmpstr (version, ==, "7.2.22 (Debian 1:7.2)");
  g_assert_true (oob);

  g_assert_true (qmp_message_read (&message, span ("{\"id\": 42, \"return\": {}}"), &error));
  g_assert_true (qmp_message_get_id (&message, &id));
  g_assert_cmpuint (id, ==, 42);
  g_assert_true (qmp_message_read (&message, span ("{\"id\": \"42\", \"return\": {}}"), &error));
  g_assert_false (qmp_message_get_id (&message, &id));
  g_assert_true (qmp_message_read (&message, span ("{\"id\": -1, \"return\": {}}"), &error));
  g_assert_false (qmp_message_get_id (&message, &id));
  g_assert_true (qmp_message_read (&message, span ("{\"return\": {}, \"id\": "
                                                   "18446744073709551658}"), &error));
  g_assert_false (qmp_message_get_id (&message, &id));

  g_assert_true (qmp_message_read (&message, span (
    "{\"event\": \"STOP\", \"timestamp\": {\"seconds\": 12, \"microseconds\": 345}}"), &error));
  g_assert_cmpint (message.kind, ==, QMP_MESSAGE_EVENT);
  g_assert_cmpint (qmp_message_get_timestamp (&message), ==, 12000345);
  g_assert_true (qmp_message_read (&message, span (
    "{\"event\": \"STOP\", \"timestamp\": {\"seconds\": -1, \"microseconds\": -1}}"), &error));
  g_assert_cmpint (qmp_message_get_timestamp (&message), ==, 0);
}

static void
test_bad_greetings (void)
{
  static const char *const greetings[] = {
    "{\"QMP\": {}}",
    "{\"QMP\": {\"version\": 7}}",
    "{\"QMP\": {\"version\": {\"qemu\": []}}}",
    "{\"QMP\": {\"version\": {\"qemu\": {\"major\": \"7\", \"minor\": 2, \"micro\": 0}}}}",
    "{\"QMP\": {\"version\": {\"qemu\": {\"major\": -7, \"minor\": 2, \"micro\": 0}}}}",
  };

  for (guint i = 0; i < G_N_ELEMENTS (greetings); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autofree char *version = NULL;
      gboolean oob;
      QmpMessage message;

      g_assert_true (qmp_message_read (&message, span (greetings[i]), &error));
      g_assert_false (qmp_message_get_greeting (&message, &version, &oob, &error));
      g_assert_error (error, QMP_ERROR, QMP_ERROR_PROTOCOL);
      g_assert_null (version);
    }
}

static void
test_refusals (void)
{
  static const struct
  {
    const char *line;
    int         code;
    const char *error_class;
    const char *text;
  } cases[] = {
    { "{\"error\": {\"class\": \"GenericError\", \"desc\": \"Node 'x' is in use\"}}",
      QMP_ERROR_COMMAND, "GenericError", "cmd: GenericError: Node 'x' is in use" },
    { "{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"d\"}}",
      QMP_ERROR_COMMAND_NOT_FOUND, "CommandNotFound", "cmd: CommandNotFound: d" },
    { "{\"error\": {\"class\": \"DeviceNotFound\", \"desc\": \"d\"}}",
      QMP_ERROR_DEVICE_NOT_FOUND, "DeviceNotFound", "cmd: DeviceNotFound: d" },
    { "{\"error\": {\"class\": \"DeviceNotActive\", \"desc\": \"d\"}}",
      QMP_ERROR_DEVICE_NOT_ACTIVE, "DeviceNotActive", "cmd: DeviceNotActive: d" },
    { "{\"error\": {\"class\": \"KVMMissingCap\", \"desc\": \"d\"}}",
      QMP_ERROR_COMMAND, "KVMMissingCap", "cmd: KVMMissingCap: d" },
    { "{\"error\": {\"class\": 1, \"desc\": []}}",
      QMP_ERROR_COMMAND, "GenericError", "cmd: GenericError: no description" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GError) copy = NULL;
      QmpMessage message;

      g_assert_true (qmp_message_read (&message, span (cases[i].line), &error));
      error = qmp_message_get_refusal (&message, "cmd", NULL);
      g_assert_error (error, QMP_ERROR, cases[i].code);
      g_assert_cmpstr (error->message, ==, cases[i].text);
      copy = g_error_copy (error);
      g_assert_cmpstr (qmp_error_get_class (copy), ==, cases[i].error_class);
      g_assert_cmpstr (qmp_error_get_command (copy), ==, "cmd");
      g_assert_null (qmp_error_get_arguments (copy));
    }
}

static void
test_refusal_shortens_arguments (void)
{
  g_autofree char *name = repeat ("\u20ac", "", "", 1000);
  g_autoptr (JsonNode) arguments = json_node_init_object (json_node_alloc (), json_object_new ());
  g_autoptr (GError) error = NULL;
  QmpMessage message;

  json_object_unref (json_node_get_object (arguments));
  json_object_set_string_member (json_node_get_object (arguments), "node-name", name);
  g_assert_true (qmp_message_read (&message, span ("{\"error\": {\"desc\": \"no\"}}"), &error));
  error = qmp_message_get_refusal (&message, "blockdev-del", arguments);

  g_assert_cmpuint (strlen (error->message), <, 260);
  g_assert_true (g_utf8_validate (error->message, -1, NULL));
  g_assert_true (g_str_has_prefix (error->message, "blockdev-del: GenericError: no (arguments "
                                                   "{\"node-name\": \"\u20ac"));
  g_assert_true (g_str_has_suffix (error->message, "\u20ac...)"));
  g_assert_nonnull (strstr (qmp_error_get_arguments (error), name));
}

static void
test_writes (void)
{
  g_autoptr (JsonNode) arguments = json_from_string (
    "{\"a\": \"x\\\"\\n\u00e9\", \"b\": [1, -2.5, true, null, {}]}", NULL);
  g_autoptr (JsonNode) bad = json_from_string ("{\"a\": \"\"}", NULL);
  g_autoptr (GError) error = NULL;
  GString *line;

  line = qmp_message_write ("execute", "stop", NULL, 7, &error);
  g_assert_cmpstr (line->str, ==, "{\"execute\": \"stop\", \"id\": 7}\n");
  g_string_free (line, TRUE);
  line = qmp_message_write ("exec-oob", "x", arguments, 0, &error);
  g_assert_cmpstr (line->str, ==, "{\"exec-oob\": \"x\", \"arguments\": {\"a\": "
                   "\"x\\\"\\u000a\u00e9\", \"b\": [1, -2.5, true, null, {}]}}\n");
  g_string_free (line, TRUE);

  json_object_set_string_member (json_node_get_object (bad), "a", "/disk\xff");
  g_assert_null (qmp_message_write ("execute", "blockdev-add", bad, 1, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
  g_assert_cmpstr (error->message, ==,
                   "blockdev-add: \"/disk\\xff\" is not UTF-8, so it cannot be told to QEMU");
  g_clear_error (&error);
  json_object_set_double_member (json_node_get_object (bad), "a", G_MAXDOUBLE * 2);
  g_assert_null (qmp_message_write ("execute", "blockdev-add", bad, 1, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/message/accepts", test_accepts);
  g_test_add_func ("/message/numbers-keep-their-type", test_numbers_keep_their_type);
  g_test_add_func ("/message/refuses", test_refuses);
  g_test_add_func ("/message/refuses-nul", test_refuses_nul);
  g_test_add_func ("/message/every-prefix", test_every_prefix);
  g_test_add_func ("/message/bounds", test_bounds);
  g_test_add_func ("/message/quotes-garbage", test_quotes_garbage);
  g_test_add_func ("/message/shapes", test_shapes);
  g_test_add_func ("/message/bad-greetings", test_bad_greetings);
  g_test_add_func ("/message/refusals", test_refusals);
  g_test_add_func ("/message/refusal-shortens-arguments", test_refusal_shortens_arguments);
  g_test_add_func ("/message/writes", test_writes);

  return g_test_run ();
}
