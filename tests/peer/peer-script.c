/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how a script is written. */

#include "peer-private.h"

#include <string.h>

#include "vocabulary.h"

JsonNode *
peer_parse (const char *text)
{
  g_autoptr (GError) error = NULL;
  JsonNode *node = json_from_string (text, &error);

  if (node == NULL)
    g_error ("bad JSON %s: %s", text, error != NULL ? error->message : "empty");
  return node;
}

static PeerStep *
add_expectation (Peer       *self,
                 const char *verb,
                 const char *command,
                 JsonNode   *arguments)
{
  PeerStep *step = peer_add_step (self, STEP_EXPECT);

  step->verb = verb;
  step->command = g_strdup (command);
  step->arguments = arguments;
  step->nth = self->expected++;
  return step;
}

void
peer_greet (Peer *self)
{
  PeerStep *step;

  peer_say (self, PEER_GREETING);
  add_expectation (self, "execute", "qmp_capabilities", peer_parse ("{\"enable\": [\"oob\"]}"));
  step = peer_add_step (self, STEP_ANSWER);
  step->body = g_strdup ("\"return\": {}");
  step->nth = NEGOTIATION;
  self->expected = 0;
}

void
peer_say_bytes (Peer       *self,
                const void *bytes,
                gsize       length)
{
  peer_add_step (self, STEP_SAY)->bytes = g_bytes_new (bytes, length);
}

void
peer_say (Peer       *self,
          const char *text)
{
  peer_say_bytes (self, text, strlen (text));
}

void
peer_event (Peer       *self,
            const char *name,
            const char *data)
{
  g_autoptr (JsonNode) node = data != NULL ? peer_parse (data) : NULL;
  g_autofree char *line = NULL;

  vocabulary_check_event (name, node);
  line = g_strdup_printf ("{\"timestamp\": {\"seconds\": 1700000000, \"microseconds\": 123456}, "
                          "\"event\": \"%s\"%s%s}\r\n", name, data != NULL ? ", \"data\": " : "",
                          data != NULL ? data : "");
  peer_say (self, line);
}

void
peer_expect (Peer       *self,
             const char *command,
             const char *arguments)
{
  JsonNode *node = arguments != NULL ? peer_parse (arguments) : NULL;

  if (!self->agent)
    vocabulary_check_command (command, node);
  add_expectation (self, "execute", command, node);
}

void
peer_expect_unknown (Peer       *self,
                     const char *command)
{
  vocabulary_check_unknown (command);
  add_expectation (self, "execute", command, NULL);
}

void
peer_expect_oob (Peer       *self,
                 const char *command)
{
  vocabulary_check_command (command, NULL);
  add_expectation (self, "exec-oob", command, NULL);
}

static void
add_answer (Peer  *self,
            guint  nth,
            char  *body)
{
  PeerStep *step = peer_add_step (self, STEP_ANSWER);

  g_assert_cmpuint (nth, <, self->expected);
  step->nth = nth;
  step->body = body;
}

void
peer_return_to (Peer       *self,
                guint       nth,
                const char *value)
{
  add_answer (self, nth, g_strdup_printf ("\"return\": %s", value));
}

void
peer_return (Peer       *self,
             const char *value)
{
  peer_return_to (self, self->expected - 1, value);
}

void
peer_refuse (Peer       *self,
             const char *error_class,
             const char *description)
{
  add_answer (self, self->expected - 1,
              g_strdup_printf ("\"error\": {\"class\": \"%s\", \"desc\": \"%s\"}", error_class,
                               description));
}

void
peer_hold (Peer *self)
{
  peer_add_step (self, STEP_HOLD);
}

void
peer_expect_hangup (Peer *self)
{
  peer_add_step (self, STEP_EXPECT_HANGUP);
}

void
peer_hang_up (Peer *self)
{
  peer_add_step (self, STEP_HANG_UP);
}
