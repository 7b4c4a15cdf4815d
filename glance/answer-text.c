/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how the service words its errors: HTML by webob, JSON by the token filter, or plain
 * text. */

#include "error-private.h"

#include <string.h>

#include "json.h"

#define TEXT_MAX 500

/* {"error": {"message": ...}}, {"message": ...} and the like. */
static char *
text_of_json (GBytes *body)
{
  g_autoptr (JsonNode) root = glance_json_parse (body, NULL);
  JsonObject *object;

  if (root == NULL)
    return NULL;

  object = json_node_get_object (root);
  if (glance_json_get_object (object, "error") != NULL)
    object = glance_json_get_object (object, "error");

  return g_strdup (glance_json_get_string (object, "message"));
}

static void
append_entity (GString     *text,
               const char **at,
               const char  *end)
{
  static const struct
  {
    const char *name;
    char        is;
  } entities[] = { { "&lt;", '<' }, { "&gt;", '>' }, { "&amp;", '&' },
                  { "&quot;", '"' }, { "&#39;", '\'' },
                   { "&#x27;", '\'' }, { "&nbsp;", ' ' } };

  for (gsize i = 0; i < G_N_ELEMENTS (entities); i++)
    {
      gsize length = strlen (entities[i].name);

      if ((gsize) (end - *at) >= length && memcmp (*at, entities[i].name, length) == 0)
        {
          g_string_append_c (text, entities[i].is);
          *at += length;
          return;
        }
    }

  g_string_append_c (text, '&');
  *at += 1;
}

/* Without tags; title and heading repeat the status and are left out. */
static char *
text_of_html (const char *html,
              gsize       size)
{
  GString *text = g_string_new (NULL);
  const char *end = html + size;
  const char *body = g_strstr_len (html, (gssize) size, "<body");
  const char *heading = g_strstr_len (html, (gssize) size, "</h1>");
  const char *at = heading != NULL ? heading : body != NULL ? body : html;

  while (at < end)
    {
      if (*at == '<')
        {
          const char *close = memchr (at, '>', (gsize) (end - at));

          g_string_append_c (text, ' ');
          at = close != NULL ? close + 1 : end;
        }
      else if (*at == '&')
        {
          append_entity (text, &at, end);
        }
      else
        {
          g_string_append_c (text, *at++);
        }
    }

  return g_string_free (text, FALSE);
}

/* One line of printable text of bounded length, or NULL. */
static char *
tidy (const char *text)
{
  g_autofree char *valid = g_utf8_make_valid (text, -1);
  g_autoptr (GString) line = g_string_new (NULL);

  for (const char *at = valid; *at != '\0' && line->len < TEXT_MAX; at = g_utf8_next_char (at))
    {
      gunichar c = g_utf8_get_char (at);

      if (!g_unichar_isspace (c) && g_unichar_isprint (c))
        g_string_append_unichar (line, c);
      else if (line->len > 0 && line->str[line->len - 1] != ' ')
        g_string_append_c (line, ' ');
    }

  g_strchomp (line->str);

  return line->str[0] != '\0' ? g_strdup (line->str) : NULL;
}

/**
 * glance_answer_text:
 * @answer: an answer that is no success
 * @secrets: (nullable): what must not be shown
 * @n_secrets: how many there are; some may be %NULL
 *
 * Nothing in an answer is trusted: control characters and broken UTF-8 are replaced, the length is
 * bounded.
 *
 * Returns: (transfer full) (nullable): what the service said, as one line
 */
char *
glance_answer_text (const HttpAnswer  *answer,
                    const char *const *secrets,
                    gsize              n_secrets)
{
  gsize size = 0;
  const char *data = g_bytes_get_data (answer->body, &size);
  g_autofree char *text = NULL;

  if (size == 0)
    return NULL;

  text = text_of_json (answer->body);
  if (text == NULL && g_strstr_len (data, (gssize) size, "<html") != NULL)
    text = text_of_html (data, size);
  if (text == NULL)
    text = g_strndup (data, MIN (size, 8 * TEXT_MAX));

  /* Before anything is cut off; as it came, too, for what is in no sentence. */
  for (gsize i = 0; i < n_secrets; i++)
    if (secrets[i] != NULL
        && (strstr (text, secrets[i]) != NULL
            || memmem (data, size, secrets[i], strlen (secrets[i])) != NULL))
      return NULL;

  return tidy (text);
}
