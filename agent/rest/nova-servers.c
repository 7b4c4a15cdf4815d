/* SPDX-License-Identifier: Apache-2.0 */

/* Knows /v2.1/servers: the guests as Nova's servers, one by one and in pages. */

#include "answer.h"
#include "nova-filter.h"
#include "nova-request.h"
#include "nova-server.h"
#include "request.h"

#include <core/error.h>

#include <string.h>

typedef struct
{
  GPtrArray *servers;           /* of Guest, not of ours */
  char      *next;              /* (nullable): marker of the page behind this one */
} Page;

static void
page_clear (Page *page)
{
  g_clear_pointer (&page->servers, g_ptr_array_unref);
  g_clear_pointer (&page->next, g_free);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Page, page_clear)

/* The order of pages has to be the same for all of them. */
static int
compare_guests (gconstpointer a,
                gconstpointer b)
{
  Guest *first = *(Guest *const *) a;
  Guest *second = *(Guest *const *) b;

  return strcmp (guest_get_id (first), guest_get_id (second));
}

/* Where the page begins: behind the marker. */
static gboolean
find_begin (GPtrArray   *guests,
            const char  *marker,
            guint       *begin,
            GError     **error)
{
  *begin = 0;
  if (marker == NULL)
    return TRUE;

  for (guint i = 0; i < guests->len; i++)
    {
      g_autofree char *id = nova_server_id (g_ptr_array_index (guests, i));

      if (g_ascii_strcasecmp (id, marker) == 0)
        {
          *begin = i + 1;
          return TRUE;
        }
    }
  agent_set_error (error, AGENT_ERROR_INVALID, NULL, "marker [%s] not found", marker);
  return FALSE;
}

static gboolean
is_wanted (Operations        *operations,
           Guest             *guest,
           const NovaFilter  *filter,
           gboolean          *is_match,
           GError           **error)
{
  NovaState state = nova_server_state (operations, guest);
  g_autofree char *name = g_utf8_make_valid (guest_get_id (guest), -1);

  return nova_filter_matches (filter, name, nova_state_to_status (&state), is_match, error);
}

static gboolean
find_page (Operations        *operations,
           const NovaFilter  *filter,
           Page              *page,
           GError           **error)
{
  g_autoptr (GHashTable) servers = nova_server_all (operations);
  g_autoptr (GPtrArray) guests = g_ptr_array_new ();
  guint limit = nova_filter_get_limit (filter);
  GHashTableIter iter;
  gpointer value;
  guint begin;

  g_hash_table_iter_init (&iter, servers);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    g_ptr_array_add (guests, value);
  g_ptr_array_sort (guests, compare_guests);
  if (!find_begin (guests, nova_filter_get_marker (filter), &begin, error))
    return FALSE;

  page->servers = g_ptr_array_new_with_free_func (g_object_unref);
  for (guint i = begin; i < guests->len; i++)
    {
      Guest *guest = g_ptr_array_index (guests, i);
      gboolean is_match;

      if (!is_wanted (operations, guest, filter, &is_match, error))
        return FALSE;
      if (!is_match)
        continue;
      if (page->servers->len < limit)
        g_ptr_array_add (page->servers, g_object_ref (guest));
      else if (limit > 0)
        {
          page->next = nova_server_id (g_ptr_array_index (page->servers, limit - 1));
          break;
        }
    }
  return TRUE;
}

/* The address of the page behind this one: as this one's, with another marker. */
static JsonArray *
link_next (Request    *request,
           const char *marker)
{
  JsonArray *links = json_array_new ();
  JsonObject *link = json_object_new ();
  g_autoptr (GHashTable) query = g_hash_table_new (g_str_hash, g_str_equal);
  GUri *uri = soup_server_message_get_uri (request_get_message (request));
  GHashTable *given = request_get_queries (request);
  GHashTableIter iter;
  gpointer key, value;
  g_autofree char *base = request_get_base (request);
  g_autofree char *encoded = NULL;
  g_autofree char *address = NULL;

  if (given != NULL)
    {
      g_hash_table_iter_init (&iter, given);
      while (g_hash_table_iter_next (&iter, &key, &value))
        if (g_utf8_validate (key, -1, NULL) && g_utf8_validate (value, -1, NULL))
          g_hash_table_insert (query, key, value);
    }
  g_hash_table_insert (query, (gpointer) "marker", (gpointer) marker);
  encoded = soup_form_encode_hash (query);
  address = g_strconcat (base, g_uri_get_path (uri), "?", encoded, NULL);

  json_object_set_string_member (link, "rel", "next");
  json_object_set_string_member (link, "href", address);
  json_array_add_object_element (links, link);
  return links;
}

static void
answer_page (Request  *request,
             gboolean  in_short)
{
  Operations *operations = request_get_operations (request);
  g_autoptr (GError) error = NULL;
  g_autoptr (NovaFilter) filter = nova_filter_new (request_get_queries (request), &error);
  g_auto (NovaView) view = { 0 };
  g_autoptr (JsonObject) answer = NULL;
  g_auto (Page) page = { 0 };
  JsonArray *servers;

  if (filter == NULL || !find_page (operations, filter, &page, &error))
    {
      request_answer_error (request, g_steal_pointer (&error));
      return;
    }

  nova_request_get_view (request, &view);
  answer = json_object_new ();
  servers = json_array_new ();
  for (guint i = 0; i < page.servers->len; i++)
    {
      Guest *guest = g_ptr_array_index (page.servers, i);

      json_array_add_object_element (servers,
                                     in_short ? nova_server_to_link (guest, &view)
                                              : nova_server_to_json (operations, guest, &view));
    }
  json_object_set_array_member (answer, "servers", servers);
  if (page.next != NULL)
    json_object_set_array_member (answer, "servers_links", link_next (request, page.next));
  request_answer (request, SOUP_STATUS_OK, json_node_init_object (json_node_alloc (), answer));
}

/**
 * nova_servers_list:
 * @request: (transfer full): GET /v2.1/servers
 */
void
nova_servers_list (Request *request)
{
  answer_page (request, TRUE);
}

/**
 * nova_servers_detail:
 * @request: (transfer full): GET /v2.1/servers/detail
 */
void
nova_servers_detail (Request *request)
{
  answer_page (request, FALSE);
}

/**
 * nova_server_show:
 * @request: (transfer full): GET /v2.1/servers/{server}
 */
void
nova_server_show (Request *request)
{
  Guest *guest = nova_request_find_guest (request);
  g_auto (NovaView) view = { 0 };
  g_autoptr (JsonObject) server = NULL;

  if (guest == NULL)
    return;

  nova_request_get_view (request, &view);
  server = nova_server_to_json (request_get_operations (request), guest, &view);
  request_answer (request, SOUP_STATUS_OK,
                  answer_wrap ("server", json_node_init_object (json_node_alloc (), server)));
}
